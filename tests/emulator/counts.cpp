/* The count mode. An access is kept with those of the other lanes until their instruction is whole,
 * and then its sectors or wavefronts are counted, by kernel and by place of the code. */
#include "emulator/counts.h"
#include "emulator/counts_text.h"

#include <algorithm>
#include <map>
#include <memory>
#include <unordered_map>

enum { SECTOR = 32, BANKS = 32, WORD = 4 };

/* ---- what one instruction of a warp costs ---- */

struct instruction {
  unsigned lanes, bytes; /* each lane's */
  uintptr_t at[EMU_WARP];
};

/* Sectors that hold any of the bytes, and the fewest that as many bytes need. */
static void count_sectors(const instruction *x, emu_traffic *t) {
  uintptr_t at[EMU_WARP], end = 0, sectors_end = 0;
  uint64_t distinct = 0;
  int n = 0;
  for (unsigned m = x->lanes; m; m &= m - 1) at[n++] = x->at[__builtin_ctz(m)];
  if (!std::is_sorted(at, at + n)) std::sort(at, at + n);
  for (int i = 0; i < n; i++) {
    const uintptr_t stop = at[i] + x->bytes, sector = at[i] / SECTOR,
                    sectors_stop = (stop + SECTOR - 1) / SECTOR;
    distinct += stop - std::min(stop, std::max(end, at[i]));
    t->moved += sectors_stop - std::min(sectors_stop, std::max(sectors_end, sector));
    end = std::max(end, stop), sectors_end = std::max(sectors_end, sectors_stop);
  }
  t->least += (distinct + SECTOR - 1) / SECTOR;
}

/* How often the banks are asked for one phase: as often as there are different words of the bank
 * that most are asked of. */
static unsigned wavefronts(const instruction *x, unsigned lanes) {
  uintptr_t words[BANKS][EMU_WARP * 2];
  unsigned n[BANKS] = {0}, most = 0;
  for (unsigned m = lanes; m; m &= m - 1) {
    const uintptr_t at = x->at[__builtin_ctz(m)];
    for (uintptr_t word = at / WORD; word <= (at + x->bytes - 1) / WORD; word++) {
      const size_t bank = word % BANKS;
      if (std::find(words[bank], words[bank] + n[bank], word) == words[bank] + n[bank])
        words[bank][n[bank]++] = word;
      most = std::max(most, n[bank]);
    }
  }
  return most;
}

/* Words of 8 bytes are served for half a warp at once, 16 bytes and rows of ldmatrix for eight
 * lanes. */
static void count_wavefronts(const instruction *x, emu_traffic *t) {
  const unsigned lanes = x->bytes <= 4 ? 32 : x->bytes <= 8 ? 16 : 8;
  for (unsigned first = 0; first < EMU_WARP; first += lanes) {
    const unsigned phase = x->lanes & (uint32_t)(((1ull << lanes) - 1) << first);
    if (!phase) continue;
    t->moved += wavefronts(x, phase);
    t->least++;
  }
}

/* ---- instructions that are not yet whole ---- */

/* A place of the code in a warp: how often each lane has passed it, and its turns so far. */
struct progress {
  uint32_t passed[EMU_WARP] = {0};
  std::vector<instruction> turns;
  size_t n = 0; /* of turns in use */
};

struct place_key {
  uintptr_t pc;
  int line, kind; /* the line, where a model knows it */
  bool operator==(const place_key &o) const {
    return pc == o.pc && line == o.line && kind == o.kind;
  }
};

struct place_hash {
  size_t operator()(const place_key &k) const {
    return (k.pc * 31 + (size_t)k.line) * 0x9e3779b97f4a7c15u + (size_t)k.kind;
  }
};

struct kernel_counts {
  emu_counts sums;
  std::vector<emu_line_counts> places;
  std::unordered_map<place_key, size_t, place_hash> number;
  std::set<const void *> functions;
};

struct warp_counts {
  std::vector<progress> at; /* by the number of the place */
  std::vector<size_t> used;
};

static struct {
  bool asked, on;
  std::map<std::string, std::unique_ptr<kernel_counts>> kernels;
  kernel_counts *now;
  warp_counts warps[EMU_WARPS];
  std::vector<emu_allocation *> used; /* by this launch */
} all;

static bool is_shared(emu_kind kind) {
  return kind == EMU_SHARED_LOAD || kind == EMU_SHARED_STORE || kind == EMU_LDMATRIX;
}

static void finish(const instruction *x, emu_line_counts *place) {
  emu_traffic one = {1, (uint64_t)__builtin_popcount(x->lanes), 0, 0, 0};
  one.bytes = one.lanes * x->bytes;
  if (is_shared(place->kind))
    count_wavefronts(x, &one);
  else
    count_sectors(x, &one);
  for (emu_traffic *t : {&place->traffic, &all.now->sums.traffic[place->kind]}) {
    t->requests += one.requests, t->lanes += one.lanes, t->bytes += one.bytes;
    t->moved += one.moved, t->least += one.least;
  }
  if (place->copies) all.now->sums.events[EMU_COUNT_COPY]++;
}

void emu_count_warp(int warp) {
  warp_counts *w = &all.warps[warp];
  if (!all.on) return;
  for (size_t number : w->used) {
    progress *p = &w->at[number];
    for (size_t i = 0; i < p->n; i++) finish(&p->turns[i], &all.now->places[number]);
    std::fill_n(p->passed, (size_t)EMU_WARP, 0);
    p->n = 0;
  }
  w->used.clear();
}

static size_t number_of(emu_site site, emu_kind kind, bool copies) {
  kernel_counts *k = all.now;
  const place_key key = {(uintptr_t)site.pc, site.at.line, (int)kind};
  const auto found = k->number.find(key);
  if (found != k->number.end()) return found->second;
  k->places.push_back(emu_line_counts{site, kind, copies, {}});
  return k->number[key] = k->places.size() - 1;
}

static void note(uintptr_t at, unsigned bytes, emu_kind kind, bool copies, emu_site site) {
  const emu_fiber *f = emu_worker_now->running;
  warp_counts *w = &all.warps[f->warp];
  const size_t number = number_of(site, kind, copies);
  if (w->at.size() <= number) w->at.resize(number + 1);
  progress *p = &w->at[number];
  const size_t turn = p->passed[f->lane]++;
  if (p->n == 0) w->used.push_back(number);
  if (turn >= p->n) {
    if (turn >= p->turns.size()) p->turns.resize(turn + 1);
    p->turns[turn].lanes = 0, p->turns[turn].bytes = bytes;
    p->n = turn + 1;
  }
  p->turns[turn].lanes |= 1u << f->lane;
  p->turns[turn].at[f->lane] = at;
}

/* ---- accesses ---- */

enum { USED_READ = 1, USED_WRITTEN = 2 };

/* Bytes that a launch reads first, and those that it writes, each once. */
static void note_use(emu_allocation *a, const void *p, size_t bytes, emu_use use) {
  const size_t from = (size_t)(static_cast<const unsigned char *>(p) - a->base);
  emu_counts *sums = &all.now->sums;
  if (!a->uses) a->uses = static_cast<unsigned char *>(emu_zeros(a->bytes));
  if (a->used_from == a->used_to) {
    a->used_from = from, a->used_to = from;
    all.used.push_back(a);
  }
  a->used_from = std::min(a->used_from, from), a->used_to = std::max(a->used_to, from + bytes);
  for (size_t i = from; i < from + bytes; i++) {
    const bool reads = use == EMU_READ || use == EMU_ADD;
    if (reads && !a->uses[i]) a->uses[i] |= USED_READ, sums->read_bytes++;
    if (use != EMU_READ && !(a->uses[i] & USED_WRITTEN))
      a->uses[i] |= USED_WRITTEN, sums->written_bytes++;
  }
}

static emu_kind kind_of(const emu_allocation *a, emu_use use) {
  switch (use) {
  case EMU_READ: return a ? EMU_GLOBAL_LOAD : EMU_SHARED_LOAD;
  case EMU_READ_ROW: return EMU_LDMATRIX;
  case EMU_ADD: return a ? EMU_ATOMIC : EMU_SHARED_STORE;
  default: return a ? EMU_GLOBAL_STORE : EMU_SHARED_STORE;
  }
}

/* One thread of a card moves 16 bytes at most at once. */
void emu_count_access(emu_allocation *a, const void *p, size_t bytes, emu_use use, emu_site site) {
  const emu_kind kind = kind_of(a, use);
  if (use == EMU_LAND) return; /* counted when it was asked for */
  if (a) note_use(a, p, bytes, use);
  for (size_t from = 0; from < bytes; from += 16)
    note((uintptr_t)p + from, (unsigned)std::min<size_t>(bytes - from, 16), kind,
         use == EMU_WRITE_COPY, site);
}

void emu_count_event(emu_event event, uint64_t times) {
  if (all.on && all.now) all.now->sums.events[event] += times;
}

/* ---- launches ---- */

static void ask_environment(void) {
  if (all.asked) return;
  all.asked = true;
  all.on = emu_environment_now().counts;
}

bool emu_counting(void) { return all.on; }

void emu_count_launch(const char *name, const void *kernel, dim3 grid, dim3 block) {
  ask_environment();
  if (!all.on) return;
  std::unique_ptr<kernel_counts> &k = all.kernels[name];
  if (!k) k.reset(new kernel_counts());
  all.now = k.get();
  for (warp_counts &w : all.warps) w = warp_counts(); /* places are numbered by kernel */
  emu_counts *s = &k->sums;
  s->kernel = all.kernels.find(name)->first.c_str();
  s->launches++;
  k->functions.insert(kernel);
  s->grid[0] = grid.x, s->grid[1] = grid.y, s->grid[2] = grid.z;
  s->block[0] = block.x, s->block[1] = block.y, s->block[2] = block.z;
}

void emu_count_launched(void) {
  for (emu_allocation *a : all.used) {
    memset(a->uses + a->used_from, 0, a->used_to - a->used_from);
    a->used_from = a->used_to = 0;
  }
  all.used.clear();
}

void emu_count_block(emu_worker *w) {
  if (!all.on) return;
  all.now->sums.blocks++;
  all.now->sums.threads += (uint64_t)w->threads;
}

void emu_count_barrier(emu_worker *w) {
  if (!all.on) return;
  for (int i = 0; i * EMU_WARP < w->threads; i++) {
    emu_count_warp(i);
    all.now->sums.events[EMU_COUNT_BARRIER]++;
  }
}

void emu_count_block_end(emu_worker *w) {
  if (!all.on) return;
  for (int i = 0; i * EMU_WARP < w->threads; i++) emu_count_warp(i);
  all.now->sums.shared_bytes = std::max(all.now->sums.shared_bytes, w->shared_bytes);
}

/* ---- what tests ask ---- */

extern "C" {
bool emu_begin_counting(void) {
  ask_environment();
  all.kernels.clear();
  all.now = nullptr;
  return all.on = true;
}

void emu_end_counting(void) { all.on = false; }

const emu_counts *emu_counts_of(const char *kernel) {
  const auto found = all.kernels.find(kernel);
  return found == all.kernels.end() ? nullptr : &found->second->sums;
}

bool emu_write_counts(const char *path) {
  FILE *f = fopen(path, "a");
  if (!f) return false;
  for (const auto &each : all.kernels)
    emu_write_kernel(f, each.second->sums, each.second->functions, each.second->places);
  return fclose(f) == 0;
}
}

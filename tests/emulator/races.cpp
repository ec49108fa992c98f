#include "emulator/races.h"
#include "emulator/source_lines.h"

#include <algorithm>
#include <array>
#include <stdio.h>
#include <stdlib.h>

typedef std::array<uint32_t, EMU_WARP> lane_clocks;

static struct {
  uint32_t now;                   /* counts up at every block and barrier */
  uint32_t launch, block;         /* since when */
  uint32_t clock[EMU_THREADS];    /* each lane's own, from 1 on */
  lane_clocks known[EMU_THREADS]; /* what it knows of the lanes of its warp, since the barrier */
  std::vector<lane_clocks> apart; /* reads of cells since the barrier */
  std::vector<std::pair<uint32_t, uint32_t>> blocks; /* when one began, and its number */
} all;

/* ---- time ---- */

static void pass(void) {
  if (++all.now == 0) {
    fprintf(stderr, "emulator: 2^32 blocks and barriers: it cannot count further\n");
    abort();
  }
  all.apart.clear();
}

void emu_time_launch(void) {
  all.launch = all.now + 1;
  all.blocks.clear();
}

void emu_time_block(uint32_t number, int warps) {
  pass();
  all.block = all.now;
  all.blocks.push_back({all.now, number});
  std::fill_n(all.clock, warps * EMU_WARP, 1);
  std::fill_n(all.known, warps * EMU_WARP, lane_clocks{});
}

void emu_time_barrier(void) { pass(); }

/* Each lane of the mask learns what any of them knew, and where all of them stand. */
void emu_order_lanes(int warp, unsigned mask) {
  lane_clocks *known = all.known + warp * EMU_WARP, joint = {};
  uint32_t *clock = all.clock + warp * EMU_WARP;
  for (unsigned m = mask; m; m &= m - 1) {
    const lane_clocks &own = known[__builtin_ctz(m)];
    for (size_t u = 0; u < EMU_WARP; u++) joint[u] = std::max(joint[u], own[u]);
  }
  for (unsigned m = mask; m; m &= m - 1)
    joint[(size_t)__builtin_ctz(m)] = clock[__builtin_ctz(m)]++;
  for (unsigned m = mask; m; m &= m - 1) known[__builtin_ctz(m)] = joint;
}

static uint32_t block_at(uint32_t time) {
  const auto next =
      std::upper_bound(all.blocks.begin(), all.blocks.end(), std::make_pair(time, UINT32_MAX));
  return next == all.blocks.begin() ? 0 : (next - 1)->second;
}

/* ---- cells ---- */

/* Code addresses of this module fit in 32 bits, seen from its own data. */
static const char *base(void) { return reinterpret_cast<const char *>(&all); }

static uint32_t pack(const void *pc) { return (uint32_t)(static_cast<const char *>(pc) - base()); }

static const void *unpack(uint32_t pc) { return base() + (int32_t)pc; }

/* Every cell becomes several that know the same. */
static void refine(emu_shadow *s, int grain) {
  const size_t n = (s->bytes + (1u << s->grain) - 1) >> s->grain, parts = 1u << (s->grain - grain);
  for (size_t i = n; i-- > 0;) std::fill_n(s->cells + i * parts, parts, emu_cell(s->cells[i]));
  s->grain = grain;
}

emu_cell *emu_shadow_at(emu_shadow *s, size_t from, size_t bytes, size_t *count) {
  const size_t odd = (from | bytes) & ((1u << s->grain) - 1);
  if (odd) refine(s, __builtin_ctzll(odd));
  *count = bytes >> s->grain;
  return s->cells + (from >> s->grain);
}

bool emu_is_set(const emu_cell *c, bool shared) {
  return c->set && (!shared || c->write_time >= all.block);
}

static const char *against_writer(const emu_cell *c, const char *why) {
  return emu_kept(emu_format_text("races with the write of thread %u in block %u at %s%s",
                                  c->write_thread, block_at(c->write_time),
                                  emu_pc_text(unpack(c->write_pc)).c_str(), why));
}

static bool knows(const emu_fiber *f, uint32_t thread, uint32_t clock) {
  return (int)thread / EMU_WARP == f->warp && all.known[f->number][thread % EMU_WARP] >= clock;
}

static const char *after_write(const emu_cell *c, const emu_fiber *f) {
  if (c->write_time < all.launch) return nullptr;
  if (c->write_time < all.block) return against_writer(c, ", of another block");
  if (c->write_time < all.now || (int)c->write_thread == f->number) return nullptr;
  return knows(f, c->write_thread, c->write_clock) ? nullptr : against_writer(c, "");
}

static const char *against_reader(const emu_cell *c, const std::string &whom) {
  return emu_kept(emu_format_text("races with a read by %s at %s", whom.c_str(),
                                  emu_pc_text(unpack(c->read_pc)).c_str()));
}

static uint32_t read_clock(const emu_cell *c, int lane) {
  return c->read_apart ? all.apart[c->read_clock][(size_t)lane] : c->read_clock;
}

static const char *after_reads(const emu_cell *c, const emu_fiber *f) {
  if (c->read_time < all.launch) return nullptr;
  if (c->read_by_blocks || c->read_time < all.block) return against_reader(c, "another block");
  if (c->read_time < all.now) return nullptr;
  if (c->read_by_warps || (int)c->read_warp != f->warp) return against_reader(c, "another warp");
  for (unsigned m = c->read_lanes & ~(1u << f->lane); m; m &= m - 1) {
    const int u = __builtin_ctz(m);
    if (!knows(f, (uint32_t)(f->warp * EMU_WARP + u), read_clock(c, u)))
      return against_reader(c, emu_format_text("lane %d", u));
  }
  return nullptr;
}

/* Lanes of the warp have read it at clocks that are not all the same. */
static void read_apart(emu_cell *c, int lane, uint32_t clock) {
  if (!c->read_apart) {
    lane_clocks each;
    each.fill(c->read_clock);
    all.apart.push_back(each);
    c->read_apart = 1, c->read_clock = (uint32_t)all.apart.size() - 1;
  }
  all.apart[c->read_clock][(size_t)lane] = clock;
}

static void note_read(emu_cell *c, const emu_fiber *f, const void *pc) {
  const uint32_t clock = all.clock[f->number], own = 1u << f->lane;
  if (c->read_time < all.launch) c->read_by_blocks = 0;
  if (c->read_time >= all.launch && c->read_time < all.block) c->read_by_blocks = 1;
  if (c->read_time < all.now) {
    c->read_time = all.now, c->read_warp = (uint32_t)f->warp & 31;
    c->read_by_warps = c->read_apart = 0;
    c->read_lanes = own, c->read_clock = clock;
  } else if ((int)c->read_warp != f->warp) {
    c->read_by_warps = 1;
  } else if ((c->read_apart || c->read_clock != clock) && c->read_lanes != own) {
    read_apart(c, f->lane, clock);
    c->read_lanes |= own;
  } else {
    c->read_lanes |= own, c->read_clock = clock;
  }
  c->read_pc = pack(pc);
}

static void note_write(emu_cell *c, const emu_fiber *f, bool added, const void *pc) {
  c->write_time = all.now, c->write_clock = all.clock[f->number];
  c->write_thread = (uint32_t)f->number & (EMU_THREADS - 1);
  c->write_pc = pack(pc);
  c->set = 1, c->added = added;
}

const char *emu_note(emu_cell *c, const emu_fiber *f, emu_use use, bool shared, const void *pc) {
  /* shared memory of an earlier block is gone with it */
  if (shared && c->write_time < all.block) c->write_time = 0;
  if (shared && c->read_time < all.block) c->read_time = 0;
  const bool reads = use == EMU_READ || use == EMU_READ_ROW, both_add = use == EMU_ADD && c->added;
  const char *race = both_add ? nullptr : after_write(c, f);
  if (!race && !reads) race = after_reads(c, f);
  if (reads)
    note_read(c, f, pc);
  else
    note_write(c, f, use == EMU_ADD, pc);
  return race;
}

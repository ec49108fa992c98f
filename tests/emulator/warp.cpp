/* What the lanes of a warp do together, and models of the instructions of tensor cores and of
 * asynchronous copies, from the PTX manual (sections on mma.m16n8k16, ldmatrix, cp.async). */
#include "emulator/access.h"
#include "emulator/emulator.h"

#include <algorithm>

static bool same_place(emu_place a, emu_place b) {
  return a.line == b.line && !strcmp(a.file, b.file);
}

/* Lanes that the mask names and that cannot come. */
static void check_mask(const emu_worker *w, const emu_fiber *f, unsigned mask, const char *what,
                       emu_place at) {
  if (!(mask >> f->lane & 1))
    emu_fail(at, "%s: the mask %#x does not name lane %d, which calls it", what, mask, f->lane);
  for (int lane = 0; lane < EMU_WARP; lane++) {
    const int number = f->warp * EMU_WARP + lane;
    if (!(mask >> lane & 1)) continue;
    if (number >= w->threads)
      emu_fail(at, "%s: the mask %#x names lane %d, and the block has no such thread", what, mask,
               lane);
    if (w->fibers[(size_t)number].state == EMU_LEFT)
      emu_fail(at, "%s: the mask %#x names lane %d, which has left", what, mask, lane);
  }
}

/* The meeting that this lane joins; a new one when none waits with its mask. */
static emu_meeting *join(emu_warp *warp, const emu_fiber *f, unsigned mask, const char *what,
                         emu_place at) {
  for (emu_meeting &m : warp->meetings) {
    if (!(m.mask & mask)) continue;
    if (m.mask != mask || !same_place(m.at, at) || strcmp(m.what, what))
      emu_fail(at, "%s with mask %#x, but lanes %#x wait at %s (%s with mask %#x)", what, mask,
               m.here, emu_place_text(m.at).c_str(), m.what, m.mask);
    return &m;
  }
  warp->meetings.push_back(emu_meeting{mask, 0, what, at, {}});
  return &warp->meetings.back();
}

void emu_gather(unsigned mask, const char *what, emu_place at, void *mine, emu_together run) {
  emu_worker *w = emu_worker_now;
  emu_fiber *f = w->running;
  emu_warp *warp = &w->warps[f->warp];
  check_mask(w, f, mask, what, at);
  emu_meeting *m = join(warp, f, mask, what, at);
  m->lanes[f->lane] = mine;
  m->here |= 1u << f->lane;
  if (m->here != mask) return emu_wait(EMU_IN_WARP, what, at);
  emu_meeting whole = *m;
  warp->meetings.erase(warp->meetings.begin() + (m - warp->meetings.data()));
  run(whole.lanes, mask);
  for (int lane = 0; lane < EMU_WARP; lane++)
    if (mask >> lane & 1) w->fibers[(size_t)(f->warp * EMU_WARP + lane)].state = EMU_READY;
  emu_wait(EMU_READY, "", at); /* others may come first */
}

static void order_lanes(void **lanes, unsigned mask) {
  emu_count_event(EMU_COUNT_SYNCWARP);
  emu_order_lanes(emu_worker_now->running->warp, mask);
}

void emu_syncwarp(unsigned mask, emu_place at) {
  emu_gather(mask, "__syncwarp", at, nullptr, order_lanes);
}

/* ---- shuffles and votes ---- */

struct shuffle {
  uint64_t bits, result;
  int from; /* the lane whose bits it gets */
};

static void run_shuffle(void **lanes, unsigned mask) {
  emu_count_event(EMU_COUNT_SHUFFLE);
  for (int lane = 0; lane < EMU_WARP; lane++) {
    shuffle *s = static_cast<shuffle *>(lanes[lane]);
    if (s) s->result = static_cast<shuffle *>(lanes[s->from])->bits;
  }
}

/* The lane that LANE reads from; one that would be outside its group of WIDTH is itself. */
static int source(int own, int lane, int width, emu_shuffle_kind kind) {
  const int base = own / width * width, at = own % width;
  int from = kind == EMU_SHUFFLE_XOR    ? at ^ lane
             : kind == EMU_SHUFFLE_UP   ? at - lane
             : kind == EMU_SHUFFLE_DOWN ? at + lane
                                        : ((lane % width) + width) % width;
  return from < 0 || from >= width ? own : base + from;
}

uint64_t emu_shuffle(unsigned mask, uint64_t bits, int lane, int width, emu_shuffle_kind kind,
                     emu_place at) {
  if (width <= 0 || width > EMU_WARP || (width & (width - 1)))
    emu_fail(at, "a shuffle of width %d, which is no power of two up to 32", width);
  const int from = source(emu_worker_now->running->lane, lane, width, kind);
  if (!(mask >> from & 1))
    emu_fail(at, "a shuffle from lane %d, which the mask %#x does not name", from, mask);
  shuffle mine = {bits, 0, from};
  emu_gather(mask, "shuffle", at, &mine, run_shuffle);
  return mine.result;
}

struct vote {
  bool mine;
  unsigned result;
};

static void run_vote(void **lanes, unsigned mask) {
  unsigned votes = 0;
  emu_count_event(EMU_COUNT_VOTE);
  for (int lane = 0; lane < EMU_WARP; lane++)
    if (lanes[lane] && static_cast<vote *>(lanes[lane])->mine) votes |= 1u << lane;
  for (int lane = 0; lane < EMU_WARP; lane++)
    if (lanes[lane]) static_cast<vote *>(lanes[lane])->result = votes;
}

unsigned emu_ballot(unsigned mask, bool mine, emu_place at) {
  vote v = {mine, 0};
  emu_gather(mask, "vote", at, &v, run_vote);
  return v.result;
}

int emu_atomic_add(int *to, int x, emu_place at) {
  emu_count_event(EMU_COUNT_ATOMIC);
  return __atomic_fetch_add(to, x, __ATOMIC_RELAXED);
}

/* ---- tensor cores ---- */

static const unsigned ALL_LANES = 0xffffffffu;

struct fragment {
  float *d;
  const uint32_t *a, *b;
  bool fp16;
};

static double number(uint32_t bits, int which, bool fp16) {
  const uint16_t x = (uint16_t)(bits >> 16 * which);
  if (fp16) {
    __half h;
    memcpy(static_cast<void *>(&h), &x, sizeof h);
    return (double)__half2float(h);
  }
  const uint32_t wide = (uint32_t)x << 16;
  float y;
  memcpy(&y, &wide, sizeof y);
  return (double)y;
}

/* Lane l = 4 g + t holds of A rows g (a0, a2) and g + 8 (a1, a3), columns 2 t, 2 t + 1 (a0, a1) and
 * 8 more (a2, a3); of B column g, rows 2 t, 2 t + 1 (b0) and 8 more (b1). */
static void collect(double a[16][16], double b[16][8], void **lanes) {
  for (int lane = 0; lane < EMU_WARP; lane++) {
    const fragment *f = static_cast<fragment *>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int k = 0; k < 2; k++) {
      a[g][2 * t + k] = number(f->a[0], k, f->fp16);
      a[g + 8][2 * t + k] = number(f->a[1], k, f->fp16);
      a[g][2 * t + 8 + k] = number(f->a[2], k, f->fp16);
      a[g + 8][2 * t + 8 + k] = number(f->a[3], k, f->fp16);
      b[2 * t + k][g] = number(f->b[0], k, f->fp16);
      b[2 * t + 8 + k][g] = number(f->b[1], k, f->fp16);
    }
  }
}

/* Products are exact in double, and their sum with d nearly so; one rounding. */
static void run_mma(void **lanes, unsigned mask) {
  double a[16][16], b[16][8];
  emu_count_event(EMU_COUNT_MMA);
  collect(a, b, lanes);
  for (int lane = 0; lane < EMU_WARP; lane++) {
    float *d = static_cast<fragment *>(lanes[lane])->d;
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; i++) {
      const int row = g + i / 2 * 8, column = 2 * t + i % 2;
      double sum = (double)d[i];
      for (int k = 0; k < 16; k++) sum += a[row][k] * b[k][column];
      d[i] = (float)sum;
    }
  }
}

void emu_mma(float d[4], const uint32_t a[4], const uint32_t b[2], bool fp16, emu_place at) {
  fragment mine = {d, a, b, fp16};
  emu_gather(ALL_LANES, "mma", at, &mine, run_mma);
}

struct matrices {
  uint32_t *r;
  const void *row;
  bool transposed;
};

static void run_ldmatrix(void **lanes, unsigned mask) {
  uint16_t m[4][8][8];
  emu_count_event(EMU_COUNT_LDMATRIX);
  for (int lane = 0; lane < EMU_WARP; lane++)
    memcpy(m[lane / 8][lane % 8], static_cast<matrices *>(lanes[lane])->row, 16);
  for (int lane = 0; lane < EMU_WARP; lane++) {
    const matrices *own = static_cast<matrices *>(lanes[lane]);
    const int line = lane / 4, at = 2 * (lane % 4);
    for (int i = 0; i < 4; i++) {
      const uint16_t low = own->transposed ? m[i][at][line] : m[i][line][at],
                     high = own->transposed ? m[i][at + 1][line] : m[i][line][at + 1];
      own->r[i] = (uint32_t)low | (uint32_t)high << 16;
    }
  }
}

static bool aligned(const void *p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

void emu_ldmatrix(uint32_t r[4], const void *row, bool transposed, emu_place at) {
  if (!emu_in_shared(row, 16)) emu_fail(at, "ldmatrix from %p, which is not shared memory", row);
  if (!aligned(row)) emu_fail(at, "ldmatrix of a row at %p, which is no multiple of 16", row);
  emu_access(row, 16, false, at);
  matrices mine = {r, row, transposed};
  emu_gather(ALL_LANES, transposed ? "ldmatrix.trans" : "ldmatrix", at, &mine, run_ldmatrix);
}

/* ---- asynchronous copies ---- */

/* Until a copy has landed its place holds NaN: whoever does not wait for it sees that. */
void emu_copy_16(void *shared, const void *from, bool present, emu_place at) {
  emu_fiber *f = emu_worker_now->running;
  if (!emu_in_shared(shared, 16))
    emu_fail(at, "cp.async to %p, which is not shared memory", shared);
  if (!aligned(shared) || (present && !aligned(from)))
    emu_fail(at, "cp.async from %p to %p: not multiples of 16", from, shared);
  if (present) emu_access(from, 16, false, at);
  emu_access(shared, 16, true, at);
  emu_count_event(EMU_COUNT_COPY);
  memset(shared, 0xff, 16);
  emu_forget(shared, 16);
  f->groups.back().push_back(emu_copy{shared, from, present});
}

void emu_copy_commit(void) { emu_worker_now->running->groups.push_back({}); }

void emu_copy_wait(int groups, emu_place at) {
  emu_fiber *f = emu_worker_now->running;
  while ((int)f->groups.size() - 1 > groups) { /* the last one is not committed */
    for (const emu_copy &c : f->groups.front()) {
      emu_access(c.to, 16, true, at);
      if (c.present)
        memcpy(c.to, c.from, 16);
      else
        memset(c.to, 0, 16);
    }
    f->groups.erase(f->groups.begin());
  }
}

uint4 emu_load_16(const void *p, emu_place at) {
  uint4 bits;
  if (!aligned(p)) emu_fail(at, "a load of 16 bytes from %p, which is no multiple of 16", p);
  emu_access(p, 16, false, at);
  memcpy(&bits, p, sizeof bits);
  return bits;
}

void emu_store_16(void *p, uint4 bits, emu_place at) {
  if (!aligned(p)) emu_fail(at, "a store of 16 bytes to %p, which is no multiple of 16", p);
  emu_access(p, 16, true, at);
  memcpy(p, &bits, sizeof bits);
}

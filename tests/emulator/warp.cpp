/* What the lanes of a warp do together: shuffles, votes, __syncwarp, and the meeting itself, by
 * which the models of products and loads (models.cpp) come together too. */
#include "emulator/access.h"
#include "emulator/emulator.h"

/* Fails when the mask names lanes that cannot come. */
static void check_mask(const emu_warp *warp, const emu_fiber *f, unsigned mask, const char *what,
                       emu_place at) {
  const unsigned absent = mask & ~warp->lanes, left = mask & warp->left;
  if (!(mask >> f->lane & 1))
    emu_fail(at, "%s: the mask %#x does not name lane %d, which calls it", what, mask, f->lane);
  if (absent)
    emu_fail(at, "%s: the mask %#x names lane %d, and the block has no such thread", what, mask,
             __builtin_ctz(absent));
  if (left)
    emu_fail(at, "%s: the mask %#x names lane %d, which has left", what, mask, __builtin_ctz(left));
}

static bool same_text(const char *a, const char *b) { return a == b || !strcmp(a, b); }

/* The meeting that this lane joins; a new one when none waits for its like. A lane may meet some
 * lanes while others wait for it elsewhere, but not those that wait themselves. */
static emu_meeting *join(emu_warp *warp, int lane, unsigned mask, const char *what, emu_place at) {
  emu_meeting *unused = nullptr;
  for (int i = 0; i < warp->meetings; i++) {
    emu_meeting *m = &warp->meet[i];
    if (!m->mask) {
      unused = m;
    } else if (m->mask == mask && emu_same_place(m->at, at) && same_text(m->what, what)) {
      return m;
    } else if (m->mask >> lane & 1 && m->here & mask) {
      emu_fail(at, "%s with mask %#x, but lanes %#x wait at %s (%s with mask %#x)", what, mask,
               m->here, emu_kept(emu_place_text(m->at)), m->what, m->mask);
    }
  }
  emu_meeting *m = unused ? unused : &warp->meet[warp->meetings++];
  *m = emu_meeting{mask, 0, what, at, {}};
  return m;
}

void emu_gather(unsigned mask, const char *what, emu_place at, void *mine, emu_together run) {
  emu_worker *w = emu_worker_now;
  emu_fiber *f = w->running;
  emu_warp *warp = &w->warps[f->warp];
  check_mask(warp, f, mask, what, at);
  emu_meeting *m = join(warp, f->lane, mask, what, at);
  m->lanes[f->lane] = mine;
  m->here |= 1u << f->lane;
  if (m->here != mask) return emu_wait(EMU_IN_WARP, what, at);
  emu_met(w, f->warp, mask);
  run(m->lanes, mask);
  m->mask = 0;
  if (m == &warp->meet[warp->meetings - 1]) warp->meetings--;
  for (unsigned others = mask & ~(1u << f->lane); others; others &= others - 1)
    emu_make_ready(w, f->warp * EMU_WARP + __builtin_ctz(others));
  /* Others may come first. The switch costs nothing: all of them have to be resumed anyway. */
  emu_wait(EMU_READY, "", at);
}

static void order_lanes(void **lanes, unsigned mask) {
  emu_count_event(EMU_COUNT_SYNCWARP, 1);
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
  emu_count_event(EMU_COUNT_SHUFFLE, 1);
  for (; mask; mask &= mask - 1) {
    shuffle *s = static_cast<shuffle *>(lanes[__builtin_ctz(mask)]);
    s->result = static_cast<shuffle *>(lanes[s->from])->bits;
  }
}

/* The lane whose bits a lane gets, by the PTX manual's rule for shfl.sync: groups of WIDTH lanes,
 * and a lane that would read behind its group's end (up: before its beginning) gets its own. */
static int source(int own, int lane, int width, emu_shuffle_kind kind) {
  const int begin = own & (EMU_WARP - width), end = begin + width - 1, by = lane & (EMU_WARP - 1);
  int from = begin + (by & (width - 1));
  if (kind == EMU_SHUFFLE_XOR) from = own ^ by; /* which may lie in an earlier group */
  if (kind == EMU_SHUFFLE_DOWN) from = own + by;
  if (kind == EMU_SHUFFLE_UP) return own - by < begin ? own : own - by;
  return from > end ? own : from;
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
  emu_count_event(EMU_COUNT_VOTE, 1);
  for (unsigned m = mask; m; m &= m - 1)
    if (static_cast<vote *>(lanes[__builtin_ctz(m)])->mine) votes |= m & -m;
  for (unsigned m = mask; m; m &= m - 1)
    static_cast<vote *>(lanes[__builtin_ctz(m)])->result = votes;
}

unsigned emu_ballot(unsigned mask, bool mine, emu_place at) {
  vote v = {mine, 0};
  emu_gather(mask, "vote", at, &v, run_vote);
  return v.result;
}

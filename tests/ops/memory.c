/* Memory of runs: blocks between guards, in the memory of the target's device, and their copies on
 * the host, where they are filled and looked at.
 *
 * A target keeps its memory for the next run, since thousands of small allocations would take more
 * time than the kernels; what was there before is overwritten by guards and NaN. */
#include "ops_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CZ_SANITIZED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes)   ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

enum {
  GUARD = 128,
  GUARD_BYTE = 0xA5,
  ALIGNED = 64 /* as the planner's */
};

/** Ends the program when a device cannot hold or move what the tests need. */
void must(const target *on, cz_status st) {
  if (st == CZ_OK) return;
  fprintf(stderr, "tests/ops: memory of %s: %s\n", on->name, cz_error_message());
  exit(2);
}

static size_t aligned(size_t bytes) { return (bytes + ALIGNED - 1) / ALIGNED * ALIGNED; }

/** Gives the memory back. */
void region_free(region *m) {
  if (m->address) cz_device_free(m->on->device, &m->address, m->room);
  free(m->host), free(m->before);
  m->host = m->before = NULL, m->room = 0;
}

/* Room for as many bytes, twice as many as were there so that it is seldom asked for. */
static void have_room(region *m, size_t bytes) {
  if (bytes <= m->room) return;
  region_free(m);
  m->room = aligned(2 * bytes);
  must(m->on, cz_device_alloc(m->on->device, &m->address, m->room));
  m->host = malloc(m->room), m->before = malloc(m->room);
  if (!m->host || !m->before) abort(); /* a test machine without memory */
}

/** Forgets all blocks. */
void region_begin(region *m, const target *on) { m->on = on, m->used = 0, m->blocks = 0; }

/** One more block, which has no address before region_make. */
block *region_add(region *m, size_t bytes) {
  block *b = &m->block[m->blocks++];
  *b = (block){.in = m, .at = m->used + GUARD, .bytes = bytes};
  m->used += aligned(bytes + 2 * GUARD);
  return b;
}

/** Gives the blocks addresses; on the host they are full of NaN, with guards around them. */
void region_make(region *m) {
  have_room(m, m->used);
  for (int i = 0; i < m->blocks; i++) {
    const block *b = &m->block[i];
    memset(block_host(b) - GUARD, GUARD_BYTE, GUARD);
    memset(block_host(b), POISON, b->bytes);
    memset(block_host(b) + b->bytes, GUARD_BYTE, GUARD);
  }
}

/** Writes all blocks as they are on the host, which keeps a copy of what it wrote. */
void region_send(region *m) {
  must(m->on, m->on->device->write(m->on->device, m->address, m->host, m->used));
  unsigned char *sent = m->host;
  m->host = m->before, m->before = sent;
}

/** Reads all blocks; they have arrived after workspace_guarded. */
void region_fetch(region *m) {
  uint64_t ticket;
  must(m->on, m->on->device->read_later(m->on->device, m->host, m->address, m->used, &ticket));
}

/** Where the block is on the device. */
void *block_address(const block *b) { return b->in->address + b->at; }

/** Where it is on the host: what is to be sent, or was fetched. */
unsigned char *block_host(const block *b) { return b->in->host + b->at; }

/** What was sent last. */
const unsigned char *block_sent(const block *b) { return b->in->before + b->at; }

/** True when the device has left it as it was sent; so has one that is not there. */
bool block_same(const block *b) {
  return !b || memcmp(block_host(b), block_sent(b), b->bytes) == 0;
}

static bool is_guard(const unsigned char *bytes) {
  for (int i = 0; i < GUARD; i++)
    if (bytes[i] != GUARD_BYTE) return false;
  return true;
}

/** True when nothing was written beside it. */
bool block_guarded(const block *b) {
  return !b || (is_guard(block_host(b) - GUARD) && is_guard(block_host(b) + b->bytes));
}

/** A workspace of BYTES, full of NaN and between guards, without a copy on the host: it is large
 * and nobody looks at it. */
void *workspace_make(region *m, const target *on, size_t bytes) {
  cz_device *d = on->device;
  region_begin(m, on);
  const block *b = region_add(m, bytes);
  have_room(m, m->used);
  unsigned char *at = block_address(b);
  must(on, d->fill(d, at - GUARD, GUARD_BYTE, GUARD));
  if (bytes) must(on, d->fill(d, at, POISON, bytes));
  must(on, d->fill(d, at + bytes, GUARD_BYTE, GUARD));
  return at;
}

/** True when nothing was written beside it. Waits for everything that was called. */
bool workspace_guarded(const region *m) {
  cz_device *d = m->on->device;
  const block *b = &m->block[0];
  unsigned char before[GUARD], after[GUARD], *at = block_address(b);
  uint64_t ticket;
  bool there = false;
  must(m->on, d->read_later(d, before, at - GUARD, GUARD, &ticket));
  must(m->on, d->read_later(d, after, at + b->bytes, GUARD, &ticket));
  must(m->on, d->arrived(d, ticket, true, &there));
  return there && is_guard(before) && is_guard(after);
}

/** Lets the address sanitizer, where there is one, stop a kernel of the host's that so much as
 * reads a guard; SHUT false makes them readable again. */
void region_shut(const region *m, bool shut) {
  if (!m->on || !m->on->device->host_memory) return;
  for (int i = 0; i < m->blocks; i++) {
    unsigned char *from = block_address(&m->block[i]), *to = from + m->block[i].bytes;
    if (shut) {
      ASAN_POISON_MEMORY_REGION(from - GUARD, GUARD);
      ASAN_POISON_MEMORY_REGION(to, GUARD);
    } else {
      ASAN_UNPOISON_MEMORY_REGION(from - GUARD, GUARD);
      ASAN_UNPOISON_MEMORY_REGION(to, GUARD);
    }
  }
}

/** Memory of ON that no other run has; slot_give gives it back. */
slot *slot_take(const target *on) {
  for (int i = 0; i < SLOTS; i++) {
    slot *s = &on->slots[i];
    if (s->taken) continue;
    s->taken = true;
    region_begin(&s->arrays, on), region_begin(&s->gradients, on), region_begin(&s->work, on);
    return s;
  }
  fprintf(stderr, "tests/ops: more than %d runs at once on %s\n", SLOTS, on->name);
  abort();
}

/** Accepts null. */
void slot_give(slot *s) {
  if (s) s->taken = false;
}

/** Gives back all memory of the target. */
void slots_free(const target *on) {
  for (int i = 0; i < SLOTS; i++) {
    slot *s = &on->slots[i];
    region_free(&s->arrays), region_free(&s->gradients), region_free(&s->work);
  }
}

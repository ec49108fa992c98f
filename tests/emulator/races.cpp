#include "emulator/races.h"
#include "emulator/access.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>

emu_clocks emu_time;

/* Every thread begins knowing nothing of the others, at clock 1. */
void emu_clocks_begin(uint32_t block) {
  emu_time.block = block;
  emu_time.epoch = 1;
  for (uint32_t &c : emu_time.now) c = 1;
  memset(emu_time.known, 0, sizeof emu_time.known);
}

void emu_order_block(void) { emu_time.epoch++; }

/* Each lane of the mask learns what any of them knew, and where all of them stand. */
void emu_order_lanes(int warp, unsigned mask) {
  uint32_t(*known)[EMU_WARP] = emu_time.known[warp];
  uint32_t *now = emu_time.now + warp * EMU_WARP, all[EMU_WARP] = {0};
  for (int t = 0; t < EMU_WARP; t++)
    for (int u = 0; u < EMU_WARP && (mask >> t & 1); u++)
      if (known[t][u] > all[u]) all[u] = known[t][u];
  for (int t = 0; t < EMU_WARP; t++)
    if (mask >> t & 1) all[t] = now[t]++;
  for (int t = 0; t < EMU_WARP; t++)
    if (mask >> t & 1) memcpy(known[t], all, sizeof all);
}

std::string emu_pc_text(const void *pc) {
  Dl_info info;
  link_map *map = nullptr;
  char command[1024], line[512] = "";
  if (!pc || !dladdr1(pc, &info, reinterpret_cast<void **>(&map), RTLD_DL_LINKMAP))
    return "an unknown place";
  const size_t offset = (size_t)pc - (size_t)map->l_addr - 1; /* inside the call */
  snprintf(command, sizeof command, "addr2line -e '%s' %#zx 2>/dev/null", info.dli_fname, offset);
  FILE *f = popen(command, "r");
  if (f && !fgets(line, sizeof line, f)) line[0] = 0;
  if (f) pclose(f);
  line[strcspn(line, " \n")] = 0;
  const char *name = strrchr(line, '/');
  return name ? name + 1 : line;
}

static const char *text_of(const std::string &text) {
  static std::string kept;
  kept = text;
  return kept.c_str();
}

static const char *against_writer(const emu_cell *c, const char *why) {
  return text_of(emu_format_text("races with the write of thread %d in block %u at %s%s",
                                 c->write_thread, c->write_block - 1,
                                 emu_pc_text(c->write_pc).c_str(), why));
}

static const char *after_write(const emu_cell *c, const emu_fiber *f) {
  const int warp = c->write_thread / EMU_WARP, lane = c->write_thread % EMU_WARP;
  if (c->write_launch != emu_time.launch) return nullptr;
  if (c->write_block != emu_time.block) return against_writer(c, ", of another block");
  if (c->write_thread == f->number || c->write_epoch < emu_time.epoch) return nullptr;
  if (warp == f->warp && emu_time.known[warp][f->lane][lane] >= c->write_clock) return nullptr;
  return against_writer(c, "");
}

static const char *against_reader(const emu_cell *c, const char *whom) {
  return text_of(
      emu_format_text("races with a read by %s at %s", whom, emu_pc_text(c->read_pc).c_str()));
}

/* Lanes that read in this epoch; a later reader's clock stands for all of them, which is exact
 * where whole warps are ordered. */
static const char *after_reads(const emu_cell *c, const emu_fiber *f) {
  if (c->read_launch != emu_time.launch) return nullptr;
  if (c->read_by_blocks || c->read_block != emu_time.block)
    return against_reader(c, "another block");
  if (c->read_epoch < emu_time.epoch) return nullptr;
  if (c->read_by_warps || c->read_warp != f->warp) return against_reader(c, "another warp");
  for (int u = 0; u < EMU_WARP; u++)
    if (u != f->lane && (c->read_lanes >> u & 1) &&
        emu_time.known[f->warp][f->lane][u] < c->read_clock)
      return against_reader(c, emu_format_text("lane %d", u).c_str());
  return nullptr;
}

const char *emu_note_read(emu_cell *c, const emu_fiber *f, const void *pc) {
  const char *race = after_write(c, f);
  const bool same_launch = c->read_launch == emu_time.launch,
             same_block = same_launch && c->read_block == emu_time.block,
             same_epoch = same_block && c->read_epoch == emu_time.epoch;
  if (!same_launch) c->read_by_blocks = false;
  if (same_launch && !same_block) c->read_by_blocks = true;
  if (!same_epoch) c->read_lanes = 0, c->read_clock = 0, c->read_by_warps = false;
  if (same_epoch && c->read_warp != f->warp) c->read_by_warps = true;
  c->read_launch = emu_time.launch, c->read_block = emu_time.block, c->read_epoch = emu_time.epoch;
  c->read_warp = (uint16_t)f->warp, c->read_lanes |= 1u << f->lane;
  const uint32_t clock = emu_time.now[f->number];
  if (clock > c->read_clock) c->read_clock = clock;
  c->read_pc = pc;
  return race;
}

const char *emu_note_write(emu_cell *c, const emu_fiber *f, const void *pc) {
  const char *race = after_write(c, f);
  if (!race) race = after_reads(c, f);
  c->write_launch = emu_time.launch, c->write_block = emu_time.block;
  c->write_epoch = emu_time.epoch, c->write_clock = emu_time.now[f->number];
  c->write_thread = (uint16_t)f->number, c->write_pc = pc, c->set = true;
  return race;
}

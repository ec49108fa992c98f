#include "emulator/counts_text.h"
#include "emulator/source_lines.h"

#include <map>

static const char *const kinds[EMU_KINDS] = {"global_load",  "global_store", "shared_load",
                                             "shared_store", "ldmatrix",     "atomic"};
static const char *const events[EMU_EVENTS] = {"mma",  "copy",     "shuffle",
                                               "vote", "syncwarp", "barrier"};

static void write_traffic(FILE *f, const emu_traffic &t) {
  fprintf(f, "\"requests\":%zu,\"lanes\":%zu,\"bytes\":%zu,\"moved\":%zu,\"least\":%zu",
          (size_t)t.requests, (size_t)t.lanes, (size_t)t.bytes, (size_t)t.moved, (size_t)t.least);
}

/* A kernel is made of many instructions, a line of the source of a few. */
static void write_lines(FILE *f, const std::vector<emu_line_counts> &places) {
  std::map<std::pair<std::string, emu_kind>, emu_traffic> lines;
  std::vector<const void *> pcs;
  for (const emu_line_counts &p : places) pcs.push_back(p.site.pc);
  const std::vector<std::string> texts = emu_pc_texts(pcs);
  for (size_t i = 0; i < places.size(); i++) {
    const emu_line_counts &p = places[i];
    const std::string line = p.site.at.file ? emu_place_text(p.site.at) : texts[i];
    emu_traffic &t = lines[{line, p.kind}];
    t.requests += p.traffic.requests, t.lanes += p.traffic.lanes, t.bytes += p.traffic.bytes;
    t.moved += p.traffic.moved, t.least += p.traffic.least;
  }
  const char *comma = "";
  for (const auto &each : lines) {
    fprintf(f, "%s{\"line\":\"%s\",\"kind\":\"%s\",", comma, each.first.first.c_str(),
            kinds[each.first.second]);
    write_traffic(f, each.second);
    fputs("}", f);
    comma = ",";
  }
}

void emu_write_kernel(FILE *f, const emu_counts &c, const std::set<const void *> &functions,
                      const std::vector<emu_line_counts> &places) {
  fprintf(f, "{\"kernel\":\"%s\",\"launches\":%zu,\"blocks\":%zu,\"threads\":%zu,", c.kernel,
          (size_t)c.launches, (size_t)c.blocks, (size_t)c.threads);
  fprintf(f, "\"grid\":[%u,%u,%u],\"block\":[%u,%u,%u],\"shared_bytes\":%zu,", c.grid[0], c.grid[1],
          c.grid[2], c.block[0], c.block[1], c.block[2], c.shared_bytes);
  fprintf(f, "\"read_bytes\":%zu,\"written_bytes\":%zu,", (size_t)c.read_bytes,
          (size_t)c.written_bytes);
  for (int k = 0; k < EMU_KINDS; k++) {
    fprintf(f, "\"%s\":{", kinds[k]);
    write_traffic(f, c.traffic[k]);
    fputs("},", f);
  }
  for (int e = 0; e < EMU_EVENTS; e++) fprintf(f, "\"%s\":%zu,", events[e], (size_t)c.events[e]);
  fputs("\"functions\":[", f);
  const char *comma = "";
  for (const std::string &name : emu_function_names({functions.begin(), functions.end()}))
    fprintf(f, "%s\"%s\"", comma, name.c_str()), comma = ",";
  fputs("],\"lines\":[", f);
  write_lines(f, places);
  fputs("]}\n", f);
}

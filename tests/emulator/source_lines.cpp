/* Lines of the source for addresses of the code, by addr2line. */
#include "emulator/source_lines.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>

static bool is_language(const char *file) {
  static const char *const files[] = {"language.h", "device.cuh", ".hpp", "tuple", "invoke.h"};
  for (const char *end : files) {
    const size_t n = strlen(end), all_of = strlen(file);
    if (all_of >= n && !strcmp(file + all_of - n, end)) return true;
  }
  return false;
}

/* Of the lines of one address, the innermost function first: the first that is a kernel's own. */
static void take_line(std::string *text, const char *line) {
  const std::string whole(line), file = whole.substr(0, whole.rfind(':'));
  const bool better = text->empty() || is_language(text->substr(0, text->rfind(':')).c_str());
  const char *name = strrchr(line, '/');
  if (better && (text->empty() || !is_language(file.c_str()))) *text = name ? name + 1 : line;
}

std::vector<std::string> emu_pc_texts(const std::vector<const void *> &pcs) {
  Dl_info info;
  link_map *map = nullptr;
  std::vector<std::string> texts;
  char line[1024];
  const void *own = reinterpret_cast<const void *>(emu_pc_texts);
  if (!dladdr1(own, &info, reinterpret_cast<void **>(&map), RTLD_DL_LINKMAP)) return texts;
  std::string command = std::string("addr2line -a -i -e '") + info.dli_fname + "'";
  for (const void *pc : pcs) /* inside the call */
    command += emu_format_text(" %#zx", (size_t)pc - (size_t)map->l_addr - 1);
  FILE *f = popen((command + " 2>/dev/null").c_str(), "r");
  while (f && fgets(line, sizeof line, f)) {
    line[strcspn(line, " \n")] = 0;
    if (!strncmp(line, "0x", 2))
      texts.push_back("");
    else if (!texts.empty())
      take_line(&texts.back(), line);
  }
  if (f) pclose(f);
  texts.resize(pcs.size(), "an unknown place");
  return texts;
}

std::string emu_pc_text(const void *pc) { return emu_pc_texts({pc})[0]; }

std::string emu_site_text(emu_site site) {
  return site.at.file ? emu_place_text(site.at) : emu_pc_text(site.pc);
}

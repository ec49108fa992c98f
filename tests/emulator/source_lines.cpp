/* Lines of the source for addresses of the code, by addr2line. */
#include "emulator/source_lines.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>

static bool is_language(const char *file) {
  static const char *const files[] = {"language.h", "device.cuh", "vector.cuh",
                                      ".hpp",       "tuple",      "invoke.h"};
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

/* addr2line with OPTIONS on addresses of this module, or null. */
static FILE *ask(const char *options, const std::vector<const void *> &addresses, size_t back) {
  Dl_info info;
  link_map *map = nullptr;
  const void *own = reinterpret_cast<const void *>(emu_pc_texts);
  if (!dladdr1(own, &info, reinterpret_cast<void **>(&map), RTLD_DL_LINKMAP)) return nullptr;
  std::string command = emu_format_text("addr2line %s -e '%s'", options, info.dli_fname);
  for (const void *p : addresses)
    command += emu_format_text(" %#zx", (size_t)p - (size_t)map->l_addr - back);
  return popen((command + " 2>/dev/null").c_str(), "r");
}

std::vector<std::string> emu_pc_texts(const std::vector<const void *> &pcs) {
  std::vector<std::string> texts;
  char line[1024];
  FILE *f = ask("-a -i", pcs, 1); /* inside the call */
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

std::vector<std::string> emu_function_names(const std::vector<const void *> &functions) {
  std::vector<std::string> names;
  char line[4096];
  FILE *f = ask("-f", functions, 0);
  while (f && fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = 0;
    names.push_back(line);
    if (!fgets(line, sizeof line, f)) break; /* where it stands */
  }
  if (f) pclose(f);
  names.resize(functions.size(), "an unknown function");
  return names;
}

std::string emu_pc_text(const void *pc) { return emu_pc_texts({pc})[0]; }

std::string emu_site_text(emu_site site) {
  return site.at.file ? emu_place_text(site.at) : emu_pc_text(site.pc);
}

/* Lines of the source for addresses of the code. */
#ifndef CZ_TESTS_EMULATOR_SOURCE_LINES_H
#define CZ_TESTS_EMULATOR_SOURCE_LINES_H

#include "emulator/access.h"

/* Of code addresses of this module behind a call, as a file's name and a line: the kernel's, where
 * the device language was compiled into it. */
std::string emu_pc_text(const void *pc);
std::vector<std::string> emu_pc_texts(const std::vector<const void *> &pcs);
std::string emu_site_text(emu_site site);

/* Of functions of this module, as the compiler calls them (mangled). */
std::vector<std::string> emu_function_names(const std::vector<const void *> &functions);

#endif

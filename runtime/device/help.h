/* What manuals say of `--device D`. */
#ifndef CZ_DEVICE_HELP_H
#define CZ_DEVICE_HELP_H

#define CZ_DEVICE_HELP_OTHERS "another of `cloze list devices`: cuda, auto, emu"
#define CZ_DEVICE_HELP        "cpu (default) or " CZ_DEVICE_HELP_OTHERS

#endif

/* `cloze pretrain | finetune | evaluate`: one stage from one configuration. */
#ifndef CZ_COMMANDS_STAGE_H
#define CZ_COMMANDS_STAGE_H

#include "base/status.h"

extern const char cz_pretrain_usage[], cz_finetune_usage[], cz_evaluate_usage[];

CZ_MUST cz_status cz_command_stage(int argc, char **argv);

#endif

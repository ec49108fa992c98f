/* `cloze pretrain | finetune | evaluate`: one stage from one configuration; `cloze graph`: the plan of its graph. */
#ifndef CZ_TRAINERS_STAGE_COMMAND_H
#define CZ_TRAINERS_STAGE_COMMAND_H

#include "trainers/stage.h"

extern const char cz_pretrain_usage[], cz_finetune_usage[], cz_evaluate_usage[], cz_graph_usage[];

CZ_MUST cz_status cz_command_stage(int argc, char **argv);
CZ_MUST cz_status cz_command_graph(int argc, char **argv);
CZ_MUST cz_status cz_session_open(cz_session *s, const char *device, const char *comm);
void cz_session_close(cz_session *s, cz_status outcome);

#endif

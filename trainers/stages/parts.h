/* The parts of a stage's configuration: scalar keys such as `tokenizer`, and sections
 * such as `batch`. A kind of stage lists the parts that it takes. Everything else that
 * must be known of a part stands here once: its help, the table of its section, the files
 * that it names, and the values that it adds to a result. */
#ifndef CZ_STAGES_PARTS_H
#define CZ_STAGES_PARTS_H

#include "config/config.h"
#include "tasks/task.h"

/* Called for each place of a configuration that names files. NODE may be an empty text,
 * which names none. */
typedef struct cz_file_visitor {
  void *self;
  /* One file, or the files of parallel text when NODE stands in a task of ROW (else
   * null). */
  cz_status (*file)(void *self, const cz_config_node *node, const cz_task_row *row);
  /* The folder of a saved model. */
  cz_status (*model)(void *self, const cz_config_node *node);
} cz_file_visitor;

typedef struct cz_stage_part {
  cz_key_spec key;            /* as it stands in the stage */
  const cz_section *section;  /* the table of a section's keys; null: none */
  const char *const *results; /* values that it adds to a result, null-terminated; or null */
  cz_status (*files)(const cz_file_visitor *v, const cz_config_node *node); /* null: none */
  const char *members; /* key of the section that names the folder of a stage whose members are
                          read; null: none */
  bool together;       /* and what they say together */
  cz_status (*help)(cz_buf *out, bool markdown); /* what the table does not say; null: nothing */
} cz_stage_part;

extern const cz_stage_part cz_part_tokenizer, cz_part_init, cz_part_corpus, cz_part_model,
    cz_part_objective, cz_part_tasks, cz_part_batch, cz_part_optimizer, cz_part_train,
    cz_part_held_out, cz_part_evaluate, cz_part_examples, cz_part_classify, cz_part_distill;

CZ_MUST cz_status cz_part_files(const cz_file_visitor *v, const cz_stage_part *const *parts,
                                const cz_config_node *stage);

#endif

/* What the files that make a plan share; nobody else includes it. */
#ifndef CZ_EXPERIMENT_PLAN_INTERNAL_H
#define CZ_EXPERIMENT_PLAN_INTERNAL_H

#include "experiment/experiment.h"

/* rows.c: the axis before the rows, since a row stands once for each of its values. */
CZ_MUST cz_status cz__plan_read_axis(cz_plan *p, const cz_config_node *root);
CZ_MUST cz_status cz__plan_read_rows(cz_plan *p, const cz_config_node *root);
CZ_MUST cz_status cz__plan_drop_stages(cz_plan *p, const cz_config_node **root);
CZ_MUST cz_status cz__plan_axis_stages(cz_plan *p, const cz_config_node *stages);

/* row_stages.c: for both; STAGES is null while rows are read, before stages are known. */
CZ_MUST cz_status cz__plan_row_has(bool *has, const cz_config_node *node, const char *name,
                                   size_t length, const cz_config_node *stages);

/* contrasts.c: behind the rows. */
CZ_MUST cz_status cz__plan_read_contrasts(cz_plan *p, const cz_config_node *root);

/* plan.c: stages of rows and seeds, and their keys. Keys come last: a stage's key
 * contains those of the stages that it names, so references are found first, and stages
 * are taken in the file's order. */
CZ_MUST cz_status cz__plan_resolve(cz_plan *p, const cz_config_node *root);
CZ_MUST cz_status cz__plan_make_keys(cz_plan *p, cz_inputs *inputs);

/* references.c: texts that begin with a dollar sign. */
CZ_MUST cz_status cz__plan_data(cz_plan *p, const cz_config_node *node, const char *data,
                                const cz_config_node **out);
CZ_MUST cz_status cz__plan_references(cz_plan *p, cz_plan_stage *s, const cz_config_node *stages,
                                      size_t index);
CZ_MUST cz_status cz__plan_own_files(cz_plan *p, const cz_config_node **out,
                                     const cz_plan_stage *s);

/* effect.c: keys that nothing reads. */
CZ_MUST cz_status cz__plan_check_common(const cz_config_node *root);
CZ_MUST cz_status cz__plan_check_words(const cz_plan *p, const cz_config_node *root,
                                       char *const *words, size_t n_words);

#endif

#include "stages/memory.h"
#include "base/log.h"
#include "base/memory_free.h"
#include "nn/hf.h"
#include "training/optimizer.h"

#include <stdio.h>

/* The nets that a member trains with and scores with, as they are planned. What they reserve the
 * system gives when it is written to, and nothing is. */
static cz_status plan_nets(cz_member_memory *m, cz_model *model, const cz_loop_job *job,
                           const cz_member_shape *shape) {
  cz_loop_job own = *job;
  cz_net *net = NULL;
  cz_scorer *scorer = NULL;
  cz_status st;
  own.model = model;
  cz_member_shape_job(&own, shape);
  for (int i = 0; i < own.n_heads; i++) own.heads[i].words = NULL;
  CZ_GO(st, cz_loop_net(&net, &own, true), done);
  CZ_GO(st, cz_member_shape_scorer(&scorer, model, shape), done);
  m->activations =
      (double)(cz_graph_bytes(net->graph) + cz_graph_bytes(cz_scorer_net(scorer)->graph));
done:
  cz_scorer_destroy(&scorer);
  cz_net_destroy(&net);
  return st;
}

static cz_status config_of(cz_model_config *c, const char *init, const cz_member_shape *shape) {
  CZ_TRY(cz_hf_config_of(c, init));
  c->heads = CZ_HEAD_BIT(shape->classifier ? CZ_HEAD_CLASSIFICATION : CZ_HEAD_MASKED_LM);
  if (shape->classifier) c->n_labels = shape->classes;
  return CZ_OK;
}

/** What a process on DEVICE takes that trains members of SHAPE, of the model in the folder INIT, by
 * JOB, as its keys have it. Nothing of that is read or written. */
cz_status cz_member_memory_find(cz_member_memory *m, cz_device *device, const char *init,
                                const cz_loop_job *job, const cz_member_shape *shape) {
  cz_model_config c;
  cz_model *model;
  cz_status st;
  const double real = (double)cz_dtype_bytes(device->real);
  *m = (cz_member_memory){0};
  CZ_TRY(config_of(&c, init, shape));
  CZ_TRY(cz_model_create(&model, &c, device));
  const cz_params *p = model->params;
  CZ_GO(st, cz_loop_take_model(model, &job->train), done);
  m->parameters = (double)cz_params_bytes(p);
  if (p->copies) m->parameters += (double)p->flat * (double)cz_dtype_bytes(p->compute);
  m->gradients = (double)cz_params_trained_bytes(p);
  m->states = real * (double)cz_optimizer_elements(&job->optimizer, p);
  st = plan_nets(m, model, job, shape);
done:
  cz_model_destroy(&model);
  return st;
}

/** CZ_EUSAGE, with what each takes and how many would do, when what is free does not hold what JOBS
 * processes of M take for sure; a warning when it may not hold their activations. OPTIMIZER: its
 * name. */
cz_status cz_member_memory_holds(const cz_member_memory *m, int64_t jobs, const char *optimizer) {
  const double sure = m->parameters + m->gradients + m->states, most = sure + m->activations,
               n = (double)jobs, mega = 1e-6;
  cz_memory_free left;
  char each[512], some[64] = "";
  CZ_TRY(cz_memory_free_find(&left, ""));
  const double bytes = (double)left.bytes;
  snprintf(each, sizeof each,
           "each takes %.1f MB for parameters, %.1f MB for gradients, %.1f MB for the states of "
           "%s, and up to %.1f MB for activations, when all its texts are the longest",
           mega * m->parameters, mega * m->gradients, mega * m->states, optimizer,
           mega * m->activations);
  if (n * sure <= bytes) {
    if (n * most > bytes)
      cz_warn("--jobs %lld: %s; %lld may want %.1f MB, and %s has %.1f MB free", (long long)jobs,
              each, (long long)jobs, mega * n * most, left.says, mega * bytes);
    return CZ_OK;
  }
  const long long fit = (long long)(bytes / sure);
  if (fit > 0) snprintf(some, sizeof some, "; --jobs %lld would do", fit);
  return CZ_FAIL(
      CZ_EUSAGE, "--jobs %lld: %s; %lld want %.1f MB at least, and %s has %.1f MB free%s",
      (long long)jobs, each, (long long)jobs, mega * n * sure, left.says, mega * bytes, some);
}

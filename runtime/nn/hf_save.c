/* Writing a Hugging Face directory, and any array that is laid out like the parameters in the
 * shapes of its tensors. */
#include "base/fs.h"
#include "nn/hf_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One tensor of the file: its parameters' numbers from HOST, the flat values. Parameters
 * that are whole tensors are used where they lie; others are put together in a copy. */
static cz_status fill_item(cz_safetensors_item *item, const cz_model *m, size_t first, char *host,
                           cz_arena *copies) {
  const size_t size = cz_dtype_bytes(m->device->real);
  const cz_safetensors_type type =
      m->device->real == CZ_F64 ? CZ_SAFETENSORS_F64 : CZ_SAFETENSORS_F32;
  const cz__hf_layout l = cz__hf_layout_of(m, first);
  char *data = cz_param_at(m->params, host, l.p);
  int64_t *dims;
  CZ_TRY(cz_arena_alloc(copies, &dims, 2, sizeof *dims));
  memcpy(dims, l.dim, sizeof l.dim);
  if (!cz__hf_is_whole(&l)) {
    CZ_TRY(cz_arena_alloc(copies, &data, (size_t)l.count, size));
    for (size_t i = first; i < m->params->n; i++) {
      const cz__hf_layout part = cz__hf_layout_of(m, i);
      if (!strcmp(part.o->tensor, l.o->tensor))
        cz__hf_copy_part(&part, cz_param_at(m->params, host, part.p), data, size, true);
    }
  }
  *item = (cz_safetensors_item){
      .name = l.o->tensor, .type = type, .from = type, .rank = l.ndim, .dims = dims, .data = data};
  return CZ_OK;
}

/* True when an earlier parameter lies in the same tensor. */
static bool is_filled(const cz_safetensors_item *items, size_t n, const char *tensor) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(items[i].name, tensor)) return true;
  return false;
}

static cz_status save_weights(const cz_model *m, const char *folder) {
  const cz_params *p = m->params;
  char *host = NULL;
  cz_safetensors_item *items = NULL;
  cz_arena *copies = NULL;
  size_t n = 0;
  cz_status st;
  CZ_GO(st, cz_alloc(&items, p->n, sizeof *items), done);
  CZ_GO(st, cz_alloc(&host, (size_t)p->flat, cz_dtype_bytes(m->device->real)), done);
  CZ_GO(st, cz_arena_create(&copies, "saved tensors"), done);
  CZ_GO(st, m->device->read(m->device, host, p->values, cz_params_bytes(p)), done);
  for (size_t i = 0; i < p->n; i++)
    if (m->origins[i].parts == 1 || !is_filled(items, n, m->origins[i].tensor))
      CZ_GO(st, fill_item(&items[n++], m, i, host, copies), done);
  CZ_GO(st, cz_safetensors_write_model(folder, items, n, (uint64_t)5 << 30), done);
done:
  cz_arena_destroy(&copies);
  free(items);
  free(host);
  return st;
}

/** Saves config.json, generation_config.json and the weights (float32, or float64 from
 * `ref`) so that transformers' from_pretrained loads them; single stacks have no class
 * there and are marked as this program's own. The folder is made when missing. */
cz_status cz_hf_save(const cz_model *m, const char *folder) {
  char path[4096];
  CZ_TRY(cz_fs_make_dirs(folder));
  CZ_TRY(save_weights(m, folder));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "generation_config.json"));
  if (m->config.family->architecture != CZ_ENCODER)
    CZ_TRY(cz_hf_generation_write(&m->config, path));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.json"));
  return cz__hf_config_write(&m->config, m->labels, path);
}

/** The tensor of parameter I as files have it, put together from HOST, float64 numbers laid out
 * like the list (parameter P begins at P->offset): gradients in Hugging Face's names and
 * orientation. False when an earlier parameter lies in the same tensor, which then was given with
 * that. *OUT is the caller's to free. */
cz_status cz_hf_tensor(cz_hf_tensor_view *out, bool *first, const cz_model *m, size_t i,
                       const double *host) {
  const cz__hf_layout l = cz__hf_layout_of(m, i);
  *out = (cz_hf_tensor_view){.name = l.o->tensor, .rank = l.ndim, .count = l.count};
  memcpy(out->dims, l.dim, sizeof l.dim);
  if (l.p == m->embedding && m->head == m->embedding && m->config.family->tied_name &&
      m->config.heads & CZ_HEAD_BIT(CZ_HEAD_MASKED_LM))
    out->name = m->config.family->tied_name;
  *first = true;
  for (size_t j = 0; j < i; j++)
    if (!strcmp(m->origins[j].tensor, l.o->tensor)) return *first = false, CZ_OK;
  CZ_TRY(cz_alloc(&out->data, (size_t)l.count, sizeof *out->data));
  for (size_t j = i; j < m->params->n; j++) {
    const cz__hf_layout part = cz__hf_layout_of(m, j);
    if (!strcmp(part.o->tensor, l.o->tensor))
      cz__hf_copy_part(&part, (char *)(host + part.p->offset), (char *)out->data, sizeof *out->data,
                       true);
  }
  return CZ_OK;
}

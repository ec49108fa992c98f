#include "few_shot/task_file.h"
#include "base/fs.h"
#include "json/json.h"

#include <stdio.h>

static const char name[] = "cloze_task.json";

static json_t *texts(const char *const *list, size_t n) {
  json_t *array = json_array();
  for (size_t i = 0; i < n; i++)
    if (cz_json_add(array, cz_json_string(list[i])) != CZ_OK) return json_decref(array), NULL;
  return array;
}

/* A text, of choice a list of them; the other order of similarity is made of the first. */
static json_t *plain_of(const cz_pattern_file *file) {
  const char *all[CZ_PATTERN_CHOICES];
  if (file->input != CZ_INPUT_CHOICE) return cz_json_string(file->plains[0].text);
  for (size_t i = 0; i < file->n_plains; i++) all[i] = file->plains[i].text;
  return texts(all, file->n_plains);
}

/** Writes what FILE's classifier reads, inputs of at most MAX_LENGTH tokens, into FOLDER. */
cz_status cz_task_file_write(const char *folder, const cz_pattern_file *file, int64_t max_length) {
  char path[4096];
  json_t *root = json_object();
  cz_status st = cz_json_set(root, "fields", texts(file->columns, file->n_fields));
  if (st == CZ_OK) st = cz_json_set(root, "labels", texts(file->labels, file->n_labels));
  if (st == CZ_OK) st = cz_json_set_int(root, "max_length", max_length);
  if (st == CZ_OK) st = cz_json_set(root, "names", texts(file->fields, file->n_fields));
  if (st == CZ_OK && file->input != CZ_INPUT_BARE)
    st = cz_json_set_text(root, "input", cz_input_names[file->input]);
  if (st == CZ_OK) st = cz_json_set(root, "plain", plain_of(file));
  if (st == CZ_OK) st = cz_fs_join(path, sizeof path, folder, name);
  if (st == CZ_OK) st = cz_json_write(root, path, JSON_INDENT(1));
  json_decref(root);
  return st;
}

/* A list of texts under KEY. */
static cz_status get_texts(const json_t **list, const json_t *root, const cz_json_place *at,
                           const char *key) {
  CZ_TRY(cz_json_get_array(list, root, at, key));
  const cz_json_place here = cz_json_place_key(at, key);
  for (size_t i = 0; i < json_array_size(*list); i++) {
    const cz_json_place item = cz_json_place_item(&here, i);
    if (!json_is_string(json_array_get(*list, i)))
      return cz_json_expected(&item, NULL, json_array_get(*list, i), "a text");
  }
  return CZ_OK;
}

/* FIELDS of a pattern file: each column under its name, or f0, f1, ... where there are none. */
static cz_status name_columns(json_t *fields, const json_t *root, const cz_json_place *at) {
  const json_t *columns, *names = NULL;
  CZ_TRY(get_texts(&columns, root, at, "fields"));
  const size_t n = json_array_size(columns);
  if (json_object_get(root, "names")) {
    CZ_TRY(get_texts(&names, root, at, "names"));
    if (json_array_size(names) != n)
      return cz_json_fail(at, "names", "%zu names of %zu fields", json_array_size(names), n);
  }
  for (size_t i = 0; i < n; i++) {
    char number[32];
    snprintf(number, sizeof number, "f%zu", i);
    const char *key = names ? json_string_value(json_array_get(names, i)) : number;
    if (json_object_get(fields, key)) return cz_json_fail(at, "names", "'%s' stands twice", key);
    CZ_TRY(cz_json_set(fields, key, json_incref(json_array_get(columns, i))));
  }
  return CZ_OK;
}

/* `input` and `plain`, where they are there; the patterns judge them. */
static cz_status take_input(json_t *patterns, const json_t *root, const cz_json_place *at) {
  const json_t *plain = json_object_get(root, "plain"), *list;
  const char *text = NULL;
  if (json_object_get(root, "input")) {
    CZ_TRY(cz_json_get_text(&text, root, at, "input"));
    CZ_TRY(cz_json_set_text(patterns, "input", text));
  }
  if (!plain) return CZ_OK;
  if (json_is_array(plain)) {
    CZ_TRY(get_texts(&list, root, at, "plain"));
    return cz_json_set(patterns, "plain", json_incref((json_t *)list));
  }
  CZ_TRY(cz_json_get_text(&text, root, at, "plain"));
  return cz_json_set_text(patterns, "plain", text);
}

/* The pattern file that the classifier's texts are made by: JSON is YAML as well. */
static cz_status as_patterns(cz_buf *text, const json_t *root, const cz_json_place *at) {
  const json_t *labels;
  json_t *patterns = json_object(), *fields = json_object();
  cz_status st;
  CZ_GO(st, cz_json_set(patterns, "fields", fields), done);
  CZ_GO(st, name_columns(fields, root, at), done);
  CZ_GO(st, get_texts(&labels, root, at, "labels"), done);
  CZ_GO(st, cz_json_set(patterns, "labels", json_incref((json_t *)labels)), done);
  CZ_GO(st, take_input(patterns, root, at), done);
  st = cz_json_print(text, patterns, 0);
done:
  json_decref(patterns);
  return st;
}

/** Reads FOLDER's file as patterns of a classifier. CZ_EUSAGE where there is none, with what it
 * takes to have one; CZ_EINVAL, or CZ_EUSAGE of a wrong `plain`, with the place for what it lacks.
 * The caller closes the patterns. */
cz_status cz_task_file_read(cz_pattern_file **file, int64_t *max_length, const char *folder) {
  static const char *const keys[] = {"fields", "labels", "max_length", "names", "input", "plain"};
  char path[4096];
  json_t *root;
  cz_buf text = {0};
  cz_status st;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, name));
  if (!cz_fs_exists(path))
    return CZ_FAIL(CZ_EUSAGE,
                   "%s: there is no %s, which says what its classifier reads; the folder `model` "
                   "of a `cloze distill` stage has one",
                   folder, name);
  CZ_TRY(cz_json_open(&root, path));
  const cz_json_place at = {.file = path};
  if (!json_is_object(root)) CZ_GO(st, cz_json_expected(&at, NULL, root, "an object"), done);
  CZ_GO(st, cz_json_only(root, &at, keys, sizeof keys / sizeof *keys), done);
  CZ_GO(st, cz_json_get_int(max_length, root, &at, "max_length", 1, INT32_MAX), done);
  CZ_GO(st, as_patterns(&text, root, &at), done);
  st = cz_patterns_parse_classifier(file, path, text.data, text.len);
done:
  cz_buf_free(&text);
  json_decref(root);
  return st;
}

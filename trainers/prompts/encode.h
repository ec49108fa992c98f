/* Texts of patterns, fields and words as ids. Internal. */
#ifndef CZ_PROMPTS_ENCODE_H
#define CZ_PROMPTS_ENCODE_H

#include "prompts/prompt.h"

bool cz__prompt_is_special(const cz_tokenizer_facts *f, int32_t id);
CZ_MUST cz_status cz__prompt_needs_space(bool *needed, const cz_tokenizer *t, cz_encoding *e,
                                         cz_tokenizer_scratch *scratch);
CZ_MUST cz_status cz__prompt_encode(const cz_prompts *p, cz_encoding *out, cz_buf *text,
                                    cz_tokenizer_scratch *scratch);
CZ_MUST cz_status cz__prompt_source_text(cz_buf *out, const cz_pattern_source *source,
                                         const char *const *fields);

/* Proves the words of one pattern (words.c). */
CZ_MUST cz_status cz__prompt_words(cz_prompts *p, cz_prompt *prompt, cz_encoding *e,
                                   cz_tokenizer_scratch *scratch);

#endif

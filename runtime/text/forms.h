/* Unicode normalisation forms (UAX 15) of w->text, with its alignment. Internal. */
#ifndef CZ_TEXT_FORMS_H
#define CZ_TEXT_FORMS_H

#include "text/work.h"

enum { CZ__FORM_PARTS = 32 }; /* of one character at most: U+FDFA has 18 */

int cz__combining_class(uint32_t c);
CZ_MUST cz_status cz__form_parts(uint32_t parts[CZ__FORM_PARTS], size_t *n, uint32_t c,
                                 bool compatible);
CZ_MUST cz_status cz__form_nfc(const void *data, cz__work *w);
CZ_MUST cz_status cz__form_nfd(const void *data, cz__work *w);
CZ_MUST cz_status cz__form_nfkc(const void *data, cz__work *w);
CZ_MUST cz_status cz__form_nfkd(const void *data, cz__work *w);

#endif

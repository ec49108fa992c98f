/* Unicode normalisation forms (UAX 15) of w->text, with its alignment. Internal. */
#ifndef CZ_TEXT_FORMS_H
#define CZ_TEXT_FORMS_H

#include "text/work.h"

CZ_MUST cz_status cz__form_nfc(const void *data, cz__work *w);
CZ_MUST cz_status cz__form_nfd(const void *data, cz__work *w);
CZ_MUST cz_status cz__form_nfkc(const void *data, cz__work *w);
CZ_MUST cz_status cz__form_nfkd(const void *data, cz__work *w);

#endif

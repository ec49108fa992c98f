/* Where a paper and its published code depart, which of them a recipe follows; `corrected` is
 * what the authors evidently meant, or what does not fail where theirs does. Each place that
 * asks says what it does under each. */
#ifndef CZ_OBJECTIVES_FIDELITY_H
#define CZ_OBJECTIVES_FIDELITY_H

typedef enum cz_fidelity { CZ_FIDELITY_PAPER, CZ_FIDELITY_CODE, CZ_FIDELITY_CORRECTED } cz_fidelity;

/* Their spellings; null-terminated. */
extern const char *const cz_fidelity_names[];

#endif

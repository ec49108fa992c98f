/* TensorBoard event files with scalars: TFRecord frames (length, masked CRC32C, Event
 * message, masked CRC32C), written without TensorFlow.
 *
 * A run that goes on after a kill writes a new file beside the old ones, whose first
 * records are the file version and a session start with the first step that will be
 * computed again: TensorBoard then forgets what older files say of that step and later
 * ones. Old files are never touched, so a torn last record in one of them is harmless.
 * File names carry a second that is later than that of every file there is, because
 * TensorBoard reads them in the order of their names. */
#ifndef CZ_METRICS_EVENTS_H
#define CZ_METRICS_EVENTS_H

#include "base/mem.h"

typedef struct cz_events cz_events;

CZ_MUST cz_status cz_events_open(cz_events **writer, const char *folder, int64_t first_step);
CZ_MUST cz_status cz_events_scalar(cz_events *writer, const char *tag, int64_t step, double value);
CZ_MUST cz_status cz_events_close(cz_events **writer);

#endif

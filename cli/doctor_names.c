#include "cli/doctor.h"
void dp_examine_names(const struct dp_patient *patient, const struct dp_subject *subject){(void)patient;(void)subject;}

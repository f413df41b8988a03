#include "cli/doctor.h"
void dp_examine_program(const struct dp_patient *patient, const struct dp_subject *subject){(void)patient;(void)subject;}

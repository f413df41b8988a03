#include "cli/doctor.h"
void dp_examine_process(struct dp_patient *patient){(void)patient;}

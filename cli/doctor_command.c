#include "cli/doctor.h"
void dp_examine_command(const struct dp_patient *patient, char **command){(void)patient;(void)command;}

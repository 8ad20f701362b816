// build: -ldl
// machine: --include /lib/x86_64-linux-gnu/libm.so.6
#include "check.h"
#include <dlfcn.h>
#include <link.h>

static int one(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	(*(int *)data)++;
	return info->dlpi_addr == 0 && 0;
}

int main(void)
{
	int objects = 0;
	void *m = dlopen("libm.so.6", RTLD_NOW);
	TRUE(m != NULL);
	double (*cosine)(double) = (double (*)(double))dlsym(m, "cos");
	printf("%g\n", cosine(0.0));
	TRUE(dlopen("libnone.so", RTLD_NOW) == NULL);
	dl_iterate_phdr(one, &objects);
	TRUE(objects >= 4);
	SHOW(dlclose(m));
	return 0;
}

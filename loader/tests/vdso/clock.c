/* What a C library's clock_gettime and time say about the coarse clocks. */
#include <stdio.h>
#include <time.h>

int main(void)
{
    struct timespec real = { 0 }, monotonic = { 0 };
    clock_gettime(CLOCK_REALTIME_COARSE, &real);
    clock_gettime(CLOCK_MONOTONIC_COARSE, &monotonic);
    printf("%lld.%09ld %lld.%09ld %lld\n", (long long)real.tv_sec, real.tv_nsec, (long long)monotonic.tv_sec,
           monotonic.tv_nsec, (long long)time(NULL));
    return 0;
}

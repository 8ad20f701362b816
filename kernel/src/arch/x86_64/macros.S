# Macros of the other files; the assembler reads this one first.

# A place for STAC or CLAC: three bytes of no-operation, replaced at start-up where the processor has SMAP.
.macro SMAP_SITE kind
771:
    nop dword ptr [rax]
    .pushsection .smap_sites, "a"
    .balign 8
    .quad 771b
    .quad \kind
    .popsection
.endm
.macro ALLOW_USER_ACCESS
    SMAP_SITE 1
.endm
.macro DENY_USER_ACCESS
    SMAP_SITE 0
.endm

# If the instruction that follows faults and nobody can resolve it, execution goes on at \fixup.
.macro FAULTS fixup
772:
    .pushsection .exception_table, "a"
    .balign 8
    .quad 772b
    .quad \fixup
    .popsection
.endm


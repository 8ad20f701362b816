# From the hypervisor's jump to Rust: PVH entry (32-bit, paging off) on the boot processor.
#
# In:       EBX = physical address of hvm_start_info (Xen, public/arch-x86/hvm/start_info.h).
# Out:      calls `kernel_main(start_info)` in long mode on the boot stack; never returns.
# Clobbers: everything.
# Faults:   none; there is no IDT yet.
#
# The tables below are filled in by the assembler: the first GiB appears at 0 (until the other processors
# are up), in the direct map, and in the top 2 GiB, with 2 MiB pages. `mm::init` refines all three.

.set OFFSET, 0xffffffff80000000
# Physical addresses under names of their own, because operands take no differences.
.set boot_pml4_low, boot_pml4 - OFFSET
.set boot_gdt_pointer_low, boot_gdt_pointer - OFFSET

.section .note.Xen, "a", @note
.balign 4
    .long 4, 8, 18                      # name length, descriptor length, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_entry - OFFSET

.section .boot.text, "ax", @progbits
.code32
.globl pvh_entry
.type pvh_entry, @function
pvh_entry:
    cli
    cld
    mov eax, offset boot_pml4_low
    mov cr3, eax
    mov eax, cr4
    or eax, 1 << 5                      # PAE
    mov cr4, eax
    mov ecx, 0xc0000080                 # EFER
    xor edx, edx
    mov eax, (1 << 8) | (1 << 11)       # LME, NXE
    wrmsr
    mov eax, (1 << 31) | (1 << 16) | (1 << 5) | (1 << 4) | (1 << 1) | 1 # PG, WP, NE, ET, MP, PE
    mov cr0, eax
    lgdt [boot_gdt_pointer_low]
    # A far jump `jmp 0x10:entry64`, in bytes because assemblers disagree on its spelling.
    .byte 0xea
    .long entry64 - OFFSET
    .word 0x10
.size pvh_entry, . - pvh_entry

.code64
.type entry64, @function
entry64:
    mov eax, 0x18
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    movabs rax, offset entry_high
    jmp rax
entry_high:
    lea rsp, [rip + boot_stack_top]
    mov edi, ebx
    xor ebp, ebp
    call kernel_main
    ud2
.size entry64, . - entry64

.section .boot.tables, "aw", @progbits
.balign 4096
.globl boot_pml4
boot_pml4:
    .quad boot_pdpt_low - OFFSET + 3
    .fill 255, 8, 0
    .quad boot_pdpt_low - OFFSET + 3
    .fill 254, 8, 0
    .quad boot_pdpt_high - OFFSET + 3
.globl boot_pdpt_low
boot_pdpt_low:
    .quad boot_pd - OFFSET + 3
    .fill 511, 8, 0
.globl boot_pdpt_high
boot_pdpt_high:
    .fill 510, 8, 0
    .quad boot_pd_high - OFFSET + 3
    .fill 1, 8, 0
.globl boot_pd
boot_pd:
    .set page, 0
    .rept 512
    .quad page + 0x83                   # present, writable, 2 MiB
    .set page, page + 0x200000
    .endr
# The kernel's image: at most 8 MiB.
.globl boot_pd_high
boot_pd_high:
    .quad 0x000083, 0x200083, 0x400083, 0x600083
    .fill 508, 8, 0

.globl boot_gdt
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff            # 0x08: unused
    .quad 0x00af9b000000ffff            # 0x10: kernel code, 64-bit
    .quad 0x00cf93000000ffff            # 0x18: kernel data
boot_gdt_pointer:
    .word . - boot_gdt - 1
    .quad boot_gdt - OFFSET

.section .bss.boot_stack, "aw", @nobits
.balign 4096
.globl boot_stack_bottom
boot_stack_bottom:
    .skip 32768
.globl boot_stack_top
boot_stack_top:

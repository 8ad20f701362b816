# Start of the other processors: copied to a page below 1 MiB, entered in real mode with CS = page / 16.
#
# In:       the fields at the end, written by `smp` for each processor in turn; paging maps the page at its own address.
# Out:      jumps to `ap_entry_address` in long mode with RDI = `ap_cpu`; never returns.
# Clobbers: everything. Faults: none.

.section .rodata.ap, "a", @progbits
.globl ap_start
ap_start:
.code16
    cli
    cld
    xor ebx, ebx
    mov bx, cs
    mov ds, bx
    shl ebx, 4                          # the page's address
    .byte 0x66, 0x0f, 0x01, 0x16        # lgdt [ap_gdt_pointer], 32-bit base
    .word ap_gdt_pointer - ap_start
    mov eax, cr0
    or eax, 1
    mov cr0, eax
    .byte 0x66, 0xff, 0x2e              # jmp far [ap_jump32]
    .word ap_jump32 - ap_start
.code32
.globl ap_start32
ap_start32:
    mov ax, 0x18
    mov ds, ax
    mov ss, ax
    mov eax, [ebx + ap_root_offset]
    mov cr3, eax
    mov eax, cr4
    or eax, 1 << 5                      # PAE
    mov cr4, eax
    mov ecx, 0xc0000080                 # EFER
    rdmsr
    or eax, (1 << 8) | (1 << 11)        # LME, NXE
    wrmsr
    mov eax, (1 << 31) | (1 << 16) | (1 << 5) | (1 << 4) | (1 << 1) | 1
    mov cr0, eax
    .byte 0xff, 0xab                    # jmp far [ebx + ap_jump64_offset]
    .long ap_jump64 - ap_start
.set ap_root_offset, ap_root - ap_start
.code64
.globl ap_start64
ap_start64:
    mov ebx, ebx
    mov rsp, [rbx + ap_stack_offset]
    mov rdi, [rbx + ap_cpu_offset]
    mov rax, [rbx + ap_entry_offset]
    xor ebp, ebp
    mov ecx, 0x18
    mov ds, ecx
    mov es, ecx
    mov ss, ecx
    xor ecx, ecx
    mov fs, ecx
    mov gs, ecx
    call rax
    ud2
.balign 8
.globl ap_fields
ap_fields:                              # `smp::Fields`
ap_entry:
    .quad 0
ap_cpu:
    .quad 0
ap_stack:
    .quad 0
ap_root:
    .quad 0
ap_jump32:
    .long 0
    .word 0x20
    .word 0
ap_jump64:
    .long 0
    .word 0x10
    .word 0
ap_gdt_pointer:
    .word 39
    .long 0
    .word 0
ap_gdt:
    .quad 0
    .quad 0
    .quad 0x00af9b000000ffff            # 0x10: 64-bit code
    .quad 0x00cf93000000ffff            # 0x18: data
    .quad 0x00cf9b000000ffff            # 0x20: 32-bit code
.globl ap_end
ap_end:
.set ap_stack_offset, ap_stack - ap_start
.set ap_cpu_offset, ap_cpu - ap_start
.set ap_entry_offset, ap_entry - ap_start
.text

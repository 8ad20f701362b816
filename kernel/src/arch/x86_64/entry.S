# Every way from the application into the kernel and back.
#
# All of them build a `hal::UserRegs` on the thread's kernel stack. Origin is decided by the RPL of the saved CS
# alone. The GS base is the processor's `Cpu` in the kernel and the application's outside.

.set CPU_KERNEL_STACK, 8                # offsets in `Cpu`
.set CPU_USER_STACK, 16
.set CPU_USER_TICKS, 24
.set CPU_NEED_RESCHED, 32
.set USER_CS, 0x33
.set USER_SS, 0x2b
.set REGS_RBP, 32                       # offsets in `UserRegs`
.set REGS_R11, 48
.set REGS_R10, 56
.set REGS_R9, 64
.set REGS_R8, 72
.set REGS_RAX, 80
.set REGS_RCX, 88
.set REGS_RDX, 96
.set REGS_RSI, 104
.set REGS_RDI, 112
.set REGS_ORIG_RAX, 120
.set REGS_RIP, 128
.set REGS_CS, 136
.set REGS_RFLAGS, 144
.set REGS_RSP, 152

.macro PUSH_REST                        # what lies below RDI in `UserRegs`
    push rsi
    push rdx
    push rcx
    push rax
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
.endm

.macro POP_ALL
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    pop rdi
.endm

# The thread's ticks in user mode: every entry adds the time-stamp counter, every return takes it away. So the value
# is "negative" in user mode. Both clobber RAX, RDX.
.macro ENTER_KERNEL
    rdtsc
    shl rdx, 32
    or rax, rdx
    add gs:[CPU_USER_TICKS], rax
.endm

.macro LEAVE_KERNEL
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub gs:[CPU_USER_TICKS], rax
.endm

.text

# The `syscall` instruction. In: RCX = return address, R11 = flags, the application's stack; interrupts are off.
# Out: to the application. Faults: none (the stack is the kernel's before anything is pushed).
.globl syscall_entry
.type syscall_entry, @function
.balign 64
syscall_entry:
    swapgs
    mov gs:[CPU_USER_STACK], rsp
    mov rsp, gs:[CPU_KERNEL_STACK]
    push USER_SS
    push qword ptr gs:[CPU_USER_STACK]
    push r11
    push USER_CS
    push rcx
    push rax
    push rdi
    PUSH_REST
    ENTER_KERNEL
    xor ebp, ebp
    mov rdi, rsp
    call syscall_from_user
    # Nearly always the handler has changed the return value alone. RCX and R11 then hold what `syscall` put there;
    # RCX is canonical, since nothing is mapped in the last page of the application's half. The registers that a
    # function keeps are still the application's.
    test al, al
    jz syscall_slow
    cmp byte ptr gs:[CPU_NEED_RESCHED], 0
    jne syscall_slow
    mov r11, [rsp + REGS_RFLAGS]
    test r11d, 0x100
    jnz syscall_slow
    LEAVE_KERNEL
    mov rcx, [rsp + REGS_RIP]
    mov rbp, [rsp + REGS_RBP]
    mov r10, [rsp + REGS_R10]
    mov r9, [rsp + REGS_R9]
    mov r8, [rsp + REGS_R8]
    mov rax, [rsp + REGS_RAX]
    mov rdx, [rsp + REGS_RDX]
    mov rsi, [rsp + REGS_RSI]
    mov rdi, [rsp + REGS_RDI]
    mov rsp, [rsp + REGS_RSP]
    swapgs
    sysretq
.size syscall_entry, . - syscall_entry

# The rest of a system call that gave way, or may have changed any register.
.type syscall_slow, @function
syscall_slow:
    mov rdi, rsp
    call leave_slowly
    # `sysret` restores RIP from RCX and the flags from R11, so it will do if the handler left both pairs alike. It
    # faults in the kernel for a non-canonical RIP (on Intel's processors), and does not restore RF and TF properly.
    mov rcx, [rsp + REGS_RIP]
    mov r11, [rsp + REGS_RFLAGS]
    cmp rcx, [rsp + REGS_RCX]
    jne return_slowly
    cmp r11, [rsp + REGS_R11]
    jne return_slowly
    mov rax, rcx
    shr rax, 47
    jnz return_slowly
    test r11d, 0x10100
    jnz return_slowly
    cmp qword ptr [rsp + REGS_CS], USER_CS
    jne return_slowly
    LEAVE_KERNEL
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    add rsp, 8
    pop r10
    pop r9
    pop r8
    pop rax
    add rsp, 8
    pop rdx
    pop rsi
    pop rdi
    mov rsp, [rsp + 32]
    swapgs
    sysretq
.size syscall_slow, . - syscall_slow

# `syscall` from 32-bit code (AMD): there is no 32-bit ABI. In: ECX, R11 as above. Out: EAX = -ENOSYS.
.globl syscall32_entry
.type syscall32_entry, @function
syscall32_entry:
    mov eax, -38
    .byte 0x0f, 0x07                    # sysret, to 32-bit code
.size syscall32_entry, . - syscall32_entry

# Return with `iretq`. In: RSP = `UserRegs`, 16-byte aligned.
.globl return_slowly
.type return_slowly, @function
return_slowly:
    mov rdi, rsp
    call check_return
    LEAVE_KERNEL
    POP_ALL
    add rsp, 8
    swapgs
    iretq
.size return_slowly, . - return_slowly

# First code of a new thread. In: RSP = its `UserRegs`.
.globl thread_start
.type thread_start, @function
thread_start:
    xor ebp, ebp
    mov rdi, rsp
    call thread_started
    jmp return_slowly
.size thread_start, . - thread_start

# Exceptions and interrupts. On the stack: vector, error code (or 0), RIP, CS, RFLAGS, RSP, SS.
.type trap, @function
.balign 16
trap:
    xchg rdi, [rsp]                     # the vector for RDI's place in `UserRegs`
    PUSH_REST
    cld
    DENY_USER_ACCESS
    mov rsi, [rsp + REGS_ORIG_RAX]      # where the error code lies
    mov rcx, rsp
    sub rsp, 8                          # the processor aligned the frame; keep calls aligned
    test byte ptr [rcx + REGS_CS], 3
    jz 1f
    swapgs
    mov qword ptr [rcx + REGS_ORIG_RAX], -1
    ENTER_KERNEL
    mov rdx, rcx
    xor ebp, ebp
    call trap_from_user
    add rsp, 8
    LEAVE_KERNEL
    POP_ALL
    add rsp, 8
    swapgs
    iretq
1:  mov rdx, rcx
    call trap_from_kernel
    add rsp, 8
    POP_ALL
    add rsp, 8
    iretq
.size trap, . - trap

# Non-maskable interrupt, double fault, machine check: on stacks of their own, wherever the processor was, even
# between `swapgs` and the next instruction. Never returns.
.type trap_fatal, @function
trap_fatal:
    xchg rdi, [rsp]
    PUSH_REST
    cld
    mov r12, rdi
    mov ecx, 0xc0000101                 # GS base: the kernel's lies in the upper half
    rdmsr
    test edx, edx
    js 1f
    swapgs
1:  mov rdi, r12
    mov rsi, [rsp + REGS_ORIG_RAX]
    mov rdx, rsp
    sub rsp, 8
    call trap_is_fatal
    ud2
.size trap_fatal, . - trap_fatal

# One stub for each vector, 16 bytes apart.
.globl trap_stubs
.type trap_stubs, @function
.balign 16
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 8 || vector == 10 || vector == 11 || vector == 12 || vector == 13 || vector == 14 || vector == 17 || vector == 21 || vector == 29 || vector == 30
    .else
    push 0
    .endif
    push vector
    .if vector == 2 || vector == 8 || vector == 18
    jmp trap_fatal
    .else
    jmp trap
    .endif
    .set vector, vector + 1
    .endr
.size trap_stubs, . - trap_stubs

# Changes to another kernel stack. In: RDI = where to keep this one's pointer, RSI = the other's. Returns on it.
# Clobbers: what a call may.
.globl switch_stacks
.type switch_stacks, @function
.balign 16
switch_stacks:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rdi], rsp
    mov rsp, rsi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
.size switch_stacks, . - switch_stacks

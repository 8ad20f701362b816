# Copying and clearing memory, of the kernel and of the application.
#
# No SSE or AVX: the kernel never touches the application's extended state. Runs of 256 bytes and more use
# `rep movsq`/`rep stosq`: fast on hardware since ERMS, and under TCG as fast as a loop of moves and eight
# times faster than `rep movsb`.

.text

# In: RDI destination, RSI source, RDX bytes; they do not overlap. Out: RAX = destination.
# Clobbers: RCX, RDX, RSI, RDI, R8-R11. Faults: never.
.globl memcpy
.type memcpy, @function
.balign 16
memcpy:
    mov rax, rdi
    cmp rdx, 16
    jb 3f
    cmp rdx, 256
    jae 5f
    mov r10, [rsi + rdx - 16]
    mov r11, [rsi + rdx - 8]
    lea rcx, [rdi + rdx - 16]
    cmp rdx, 32
    jbe 2f
1:  mov r8, [rsi]
    mov r9, [rsi + 8]
    mov [rdi], r8
    mov [rdi + 8], r9
    add rsi, 16
    add rdi, 16
    cmp rdi, rcx
    jb 1b
    mov [rcx], r10
    mov [rcx + 8], r11
    ret
2:  mov r8, [rsi]
    mov r9, [rsi + 8]
    mov [rdi], r8
    mov [rdi + 8], r9
    mov [rcx], r10
    mov [rcx + 8], r11
    ret
3:  cmp edx, 8
    jb 4f
    mov r8, [rsi]
    mov r9, [rsi + rdx - 8]
    mov [rdi], r8
    mov [rdi + rdx - 8], r9
    ret
4:  cmp edx, 4
    jb 6f
    mov r8d, [rsi]
    mov r9d, [rsi + rdx - 4]
    mov [rdi], r8d
    mov [rdi + rdx - 4], r9d
    ret
5:  mov rcx, rdx
    shr rcx, 3
    and edx, 7
    rep movsq
    test edx, edx
    jz 8f
    mov r8, [rsi + rdx - 8]
    mov [rdi + rdx - 8], r8
    ret
6:  test edx, edx
    jz 8f
    mov ecx, edx
    shr ecx, 1
    movzx r8d, byte ptr [rsi]
    movzx r9d, byte ptr [rsi + rcx]
    movzx r10d, byte ptr [rsi + rdx - 1]
    mov [rdi], r8b
    mov [rdi + rcx], r9b
    mov [rdi + rdx - 1], r10b
8:  ret
.size memcpy, . - memcpy

# In: RDI destination, RSI source, RDX bytes; they may overlap. Out: RAX = destination.
# Clobbers: RCX, RDX, RSI, RDI, R8-R11. Faults: never.
.globl memmove
.type memmove, @function
.balign 16
memmove:
    mov rax, rdi
    sub rax, rsi
    cmp rax, rdx
    jae memcpy_forward                  # not "source below destination and overlapping"
    mov rax, rdi
    mov rcx, rdx
    and edx, 7
    shr rcx, 3
    jz 2f
    lea r9, [rsi + rdx - 8]             # words, from the end down to the first 0-7 bytes
    lea r10, [rdi + rdx - 8]
1:  mov r8, [r9 + rcx * 8]
    mov [r10 + rcx * 8], r8
    dec rcx
    jnz 1b
2:  dec rdx
    js 3f
    mov r8b, [rsi + rdx]
    mov [rdi + rdx], r8b
    jmp 2b
3:  ret
memcpy_forward:
    # Ascending order, never reading ahead of what was written: safe for an overlap with the source above.
    mov rax, rdi
    mov rcx, rdx
    and edx, 7
    shr rcx, 3
    jz 7f
    cmp rcx, 32
    jae 8f
6:  mov r8, [rsi]
    mov [rdi], r8
    add rsi, 8
    add rdi, 8
    dec rcx
    jnz 6b
7:  test edx, edx
    jz 9f
    mov r8b, [rsi]
    mov [rdi], r8b
    inc rsi
    inc rdi
    dec edx
    jmp 7b
8:  rep movsq
    jmp 7b
9:  ret
.size memmove, . - memmove

# In: RDI destination, SIL value, RDX bytes. Out: RAX = destination.
# Clobbers: RCX, RDX, RSI, RDI, R8, R9. Faults: never.
.globl memset
.type memset, @function
.balign 16
memset:
    mov r9, rdi
    movzx eax, sil
    movabs r8, 0x0101010101010101
    imul rax, r8
    cmp rdx, 8
    jb 3f
    lea r8, [rdi + rdx - 8]             # the last word, written in any case
    cmp rdx, 256
    jae 2f
1:  mov [rdi], rax
    add rdi, 8
    cmp rdi, r8
    jb 1b
    mov [r8], rax
    mov rax, r9
    ret
2:  mov rcx, rdx
    shr rcx, 3
    rep stosq
    mov [r8], rax
    mov rax, r9
    ret
3:  test edx, edx
    jz 5f
4:  mov [rdi + rdx - 1], al
    dec edx
    jnz 4b
5:  mov rax, r9
    ret
.size memset, . - memset

# In: RDI, RSI areas, RDX bytes. Out: EAX < 0, 0, > 0 as the first differing byte. Clobbers: RCX, RDX, RSI, RDI.
# Faults: never.
.globl memcmp
.type memcmp, @function
.balign 16
memcmp:
1:  cmp rdx, 8
    jb 2f
    mov rax, [rdi]
    mov rcx, [rsi]
    add rdi, 8
    add rsi, 8
    sub rdx, 8
    cmp rax, rcx
    je 1b
    bswap rax
    bswap rcx
    cmp rax, rcx
    sbb eax, eax
    or eax, 1
    ret
2:  test edx, edx
    jz 4f
3:  movzx eax, byte ptr [rdi]
    movzx ecx, byte ptr [rsi]
    sub eax, ecx
    jnz 5f
    inc rdi
    inc rsi
    dec edx
    jnz 3b
4:  xor eax, eax
5:  ret
.size memcmp, . - memcmp
.globl bcmp
.set bcmp, memcmp

# In: RDI destination, RSI source (one of them the application's), RDX bytes. Out: RAX = bytes at the end that
# were not copied. Clobbers: RCX, RDX, RSI, RDI, R8. Faults: yes; resolved or reported by the result.
.globl user_copy
.type user_copy, @function
.balign 16
user_copy:
    ALLOW_USER_ACCESS
    mov rcx, rdx
    and edx, 7
    shr rcx, 3
    jz 2f
    cmp rcx, 32
    jae 4f
1:  FAULTS 5f
    mov r8, [rsi]
    FAULTS 5f
    mov [rdi], r8
    add rsi, 8
    add rdi, 8
    dec rcx
    jnz 1b
2:  test rdx, rdx
    jz 6f
3:  FAULTS 6f
    mov r8b, [rsi]
    FAULTS 6f
    mov [rdi], r8b
    inc rsi
    inc rdi
    dec rdx
    jnz 3b
    jmp 6f
4:  FAULTS 5f
    rep movsq
    jmp 2b
5:  lea rdx, [rdx + rcx * 8]            # the rest by the byte, so that the count is exact
    jmp 3b
6:  DENY_USER_ACCESS
    mov rax, rdx
    ret
.size user_copy, . - user_copy

# In: RDI destination (the application's), RSI bytes. Out: RAX = bytes at the end that were not cleared.
# Clobbers: RCX, RDX, RSI, RDI. Faults: yes; resolved or reported by the result.
.globl user_zero
.type user_zero, @function
.balign 16
user_zero:
    ALLOW_USER_ACCESS
    xor eax, eax
    mov rcx, rsi
    and esi, 7
    shr rcx, 3
    FAULTS 3f
    rep stosq
1:  test rsi, rsi
    jz 4f
2:  FAULTS 4f
    mov [rdi], al
    inc rdi
    dec rsi
    jnz 2b
    jmp 4f
3:  lea rsi, [rsi + rcx * 8]
    jmp 2b
4:  DENY_USER_ACCESS
    mov rax, rsi
    ret
.size user_zero, . - user_zero

# In: RDI = the application's word, ESI old, EDX new, RCX = where to put what the word held. Out: EAX = 0, or 1
# for a fault. Clobbers: R8. Faults: yes.
.globl user_compare_exchange
.type user_compare_exchange, @function
.balign 16
user_compare_exchange:
    ALLOW_USER_ACCESS
    mov eax, esi
    FAULTS 1f
    lock cmpxchg [rdi], edx
    DENY_USER_ACCESS
    mov [rcx], eax
    xor eax, eax
    ret
1:  DENY_USER_ACCESS
    mov eax, 1
    ret
.size user_compare_exchange, . - user_compare_exchange

# In: RDI = the application's word, RSI = where to put it. Out: EAX = 0, or 1 for a fault. Clobbers: none more.
# Faults: yes.
.globl user_load
.type user_load, @function
.balign 16
user_load:
    ALLOW_USER_ACCESS
    FAULTS 1f
    mov eax, [rdi]
    DENY_USER_ACCESS
    mov [rsi], eax
    xor eax, eax
    ret
1:  DENY_USER_ACCESS
    mov eax, 1
    ret
.size user_load, . - user_load

# In: RDI destination, RSI = the application's string, RDX = room in bytes (at least 1). Out: RAX = bytes copied
# without the NUL, and EDX = 0 where a NUL was found, 1 where there was no room, 2 for a fault.
# Clobbers: RCX, RSI, R8. Faults: yes.
.globl user_string
.type user_string, @function
.balign 16
user_string:
    ALLOW_USER_ACCESS
    xor eax, eax
1:  FAULTS 3f
    movzx r8d, byte ptr [rsi + rax]
    mov [rdi + rax], r8b
    test r8d, r8d
    jz 2f
    inc rax
    cmp rax, rdx
    jb 1b
    DENY_USER_ACCESS
    mov edx, 1
    ret
2:  DENY_USER_ACCESS
    xor edx, edx
    ret
3:  DENY_USER_ACCESS
    mov edx, 2
    ret
.size user_string, . - user_string

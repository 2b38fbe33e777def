# What the cores of one hub keep for peers, in bytes of memory, and how much that may be. Without Python.
#
# Every block counts but the two that a core fills and fills again, and so do a tree of topics, and where a queue has its runs.

cdef struct Account:
    size_t used
    # Of it: what connections that have ended leave behind, which is forgotten a little at a time.
    size_t dying
    # Of it: last values and logs, which can be forgotten at any time.
    size_t stored
    # Of it: what is counted of losses by topic.
    size_t counters
    size_t limit
    # Whether senders are held back: from 3/4 of the limit on, until it is less than 5/8. What is stored does not count: it
    # makes room.
    bint tight
    # The first of all cores.
    void *cores


cdef inline void take_memory(Account *account, size_t nbytes) noexcept nogil:
    account.used += nbytes


cdef inline void give_memory(Account *account, size_t nbytes) noexcept nogil:
    account.used -= nbytes


cdef inline void take_stored(Account *account, size_t nbytes) noexcept nogil:
    # Of last values and logs.
    take_memory(account, nbytes)
    account.stored += nbytes


cdef inline void give_stored(Account *account, size_t nbytes) noexcept nogil:
    give_memory(account, nbytes)
    account.stored -= nbytes


cdef inline bint is_over(const Account *account) noexcept nogil:
    # Whether more is kept than may be, and there is no end of it in sight.
    return account.used > account.limit and account.used - account.dying > account.limit


cdef inline bint changes_tightness(const Account *account) noexcept nogil:
    cdef size_t used = account.used - account.stored
    if account.tight:
        return used < account.limit // 8 * 5
    return used > account.limit // 4 * 3

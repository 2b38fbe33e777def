# What the cores of one hub keep, as Python has it.

cimport cython

from .account cimport Account
from .peer cimport Core
from .shedding cimport keep_to_budget

# As good as no limit, and an eighth of it times eight is still a number.
cdef size_t UNLIMITED = <size_t>1 << 62


@cython.final
cdef class NativeAccount:
    """`geventrelay.switch.contract.Account` in C."""

    cdef Account account

    def __cinit__(self):
        self.account.limit = UNLIMITED

    @property
    def limit_bytes(self):
        """How much may be kept; 0 for no limit."""
        return 0 if self.account.limit == UNLIMITED else self.account.limit

    @limit_bytes.setter
    def limit_bytes(self, limit):
        self.account.limit = min(limit, UNLIMITED) or UNLIMITED
        keep_to_budget(&self.account)

    @property
    def used_bytes(self):
        """How much is kept now."""
        return self.account.used

    cdef void remove(self, Core *core) noexcept:
        cdef Core **link = <Core **>&self.account.cores
        while link[0] != NULL and link[0] != core:
            link = &link[0].next_core
        if link[0] != NULL:
            link[0] = core.next_core

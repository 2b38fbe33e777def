# What has come from one connection and has not been moved: bytes, and how far they were understood. Without Python.

from libc.stdint cimport uint64_t
from libc.string cimport memmove

from .blocks cimport BLOCK_BYTES, READ_BYTES, Block, Heap, data_of, grown, let_go, make_current, new_block
from .frames cimport COMMAND, LARGE, LARGE_HEAD, LONG_1_0, LONG_HEAD_1_0, MORE, SHORT_HEAD, large_length, write_head

cdef enum:
    KNOWN_FLAGS = MORE | LARGE | COMMAND
    # A block for what is left of a read, up to this size, is kept for the next time.
    SMALL_REST = 1024


# What `next_event` finds.
cdef enum Event:
    NOTHING
    MESSAGE
    A_COMMAND
    # It cannot be done now.
    WAITS
    # What a peer must not send; `geventrelay.zmtp.connection.Connection` has the same rules.
    BAD_FLAGS
    FRAME_TOO_LARGE
    COMMAND_TOO_LARGE
    MESSAGE_TOO_LARGE
    TOO_MANY_PARTS
    BAD_LENGTH
    BAD_COMMAND
    BAD_PING
    TOPIC_TOO_LONG
    TOO_MANY_TOPICS
    CUT
    # What ends a connection although the peer has done nothing that is forbidden.
    TOO_SLOW
    SAME_ID
    TAKEN_OVER
    NO_MEMORY
    # Of a peer of CURVE: what is no sealed frame, one with a number that was used before, and one that cannot be opened.
    NOT_SEALED
    REPLAYED
    FORGED
    # What it keeps is the most of all, and the budget is used up.
    UNFINISHED
    SUBSCRIPTIONS


cdef struct Limits:
    uint64_t frame
    uint64_t message
    uint64_t parts
    uint64_t command
    uint64_t topic
    uint64_t topics


cdef struct Incoming:
    # Whether it is ZMTP 1.0. Its frames are put down as those of later versions, whose heads are no longer.
    bint v1_0
    Block *block
    # The message in hand: its whole frames lie in [start, start + size).
    size_t start
    size_t size
    # Where the next frame begins: behind it, or later if a command came between its frames and was taken out.
    size_t scan
    size_t end
    # How many bytes from `scan` on the next frame has, as far as is known.
    size_t need
    uint64_t body
    size_t parts
    # The first part: where its body begins, from `start` on, and its size.
    size_t first
    size_t first_size
    # Whether all of the message in hand is there.
    bint whole
    # Whether what is there waits for more to come, and not for room.
    bint unfinished
    # The last command: where it and its body begin in the block, and the size of that.
    size_t command_at
    size_t command
    size_t command_size
    # What was refused: the flags, or the length.
    uint64_t refused
    # For what is left of a read, the next time.
    Block *spare


cdef inline unsigned char *message_at(Incoming *incoming) noexcept nogil:
    return data_of(incoming.block) + incoming.start


cdef inline Event next_event(Incoming *incoming, const Limits *limits) noexcept nogil:
    # Goes on to the next whole message or command. After MESSAGE call `next_message` once it is moved; until then the
    # same message is found again.
    cdef Head head
    cdef Event event
    if incoming.whole:
        return MESSAGE
    while incoming.scan < incoming.end:
        event = read_head(incoming, &head)
        if event == NOTHING:
            if not head.size:
                return NOTHING
            event = check_head(incoming, limits, &head)
        if event != NOTHING:
            return event
        if incoming.end - incoming.scan - head.size < head.length:
            incoming.need = head.size + <size_t>head.length
            return NOTHING
        if head.flags & COMMAND:
            take_out_command(incoming, &head)
            return A_COMMAND
        add_frame(incoming, &head)
        if not head.flags & MORE:
            incoming.whole = True
            return MESSAGE
    incoming.need = 1
    return NOTHING


# The head of a frame.
cdef struct Head:
    int flags
    # Of the head itself; 0 if it is not all there.
    size_t size
    # Of the body.
    uint64_t length


cdef inline Event read_head(Incoming *incoming, Head *head) noexcept nogil:
    cdef const unsigned char *at = data_of(incoming.block) + incoming.scan
    cdef size_t there = incoming.end - incoming.scan
    if incoming.v1_0:
        return read_head_1_0(incoming, head)
    head.flags = at[0]
    if head.flags & ~KNOWN_FLAGS or head.flags & (COMMAND | MORE) == (COMMAND | MORE):
        incoming.refused = head.flags
        return BAD_FLAGS
    head.size = LARGE_HEAD if head.flags & LARGE else SHORT_HEAD
    if there < head.size:
        incoming.need = head.size
        head.size = 0
    else:
        head.length = large_length(at) if head.flags & LARGE else at[1]
    return NOTHING


cdef inline Event read_head_1_0(Incoming *incoming, Head *head) noexcept nogil:
    # RFC 13: a length that counts the flags, and takes 1 byte, or %xFF and 8 bytes; then the flags.
    cdef const unsigned char *at = data_of(incoming.block) + incoming.scan
    cdef size_t there = incoming.end - incoming.scan
    head.size = LONG_HEAD_1_0 if at[0] == LONG_1_0 else SHORT_HEAD
    if there >= head.size - 1:
        head.length = large_length(at) if at[0] == LONG_1_0 else at[0]
        if not head.length:
            return BAD_LENGTH
    if there < head.size:
        incoming.need = head.size
        head.size = 0
        return NOTHING
    head.length -= 1
    head.flags = at[head.size - 1] & MORE
    return NOTHING


cdef inline Event check_head(Incoming *incoming, const Limits *limits, const Head *head) noexcept nogil:
    # Before any of the frame is kept.
    incoming.refused = head.length
    if head.flags & COMMAND:
        return COMMAND_TOO_LARGE if head.length > limits.command else NOTHING
    if head.length > limits.frame:
        return FRAME_TOO_LARGE
    if head.length > limits.message - incoming.body:
        return MESSAGE_TOO_LARGE
    return TOO_MANY_PARTS if incoming.parts == limits.parts else NOTHING


cdef inline void take_out_command(Incoming *incoming, const Head *head) noexcept nogil:
    incoming.command_at = incoming.scan
    incoming.command = incoming.scan + head.size
    incoming.command_size = <size_t>head.length
    incoming.scan = incoming.command + incoming.command_size
    if not incoming.size:
        incoming.start = incoming.scan


cdef inline void put_command_back(Incoming *incoming) noexcept nogil:
    # Has the last command be found again.
    incoming.scan = incoming.command_at
    if not incoming.size:
        incoming.start = incoming.scan


cdef inline void add_frame(Incoming *incoming, const Head *head) noexcept nogil:
    # To the message in hand.
    cdef unsigned char *at = data_of(incoming.block) + incoming.scan
    cdef unsigned char *behind = message_at(incoming) + incoming.size
    cdef size_t length = <size_t>head.length, size = head.size
    if incoming.v1_0:
        size = write_head(behind, head.flags, length)
        memmove(behind + size, at + head.size, length)
    elif behind != at:
        memmove(behind, at, size + length)
    if not incoming.parts:
        incoming.first = size
        incoming.first_size = length
    incoming.size += size + length
    incoming.body += length
    incoming.parts += 1
    incoming.scan += head.size + length


cdef inline void next_message(Incoming *incoming) noexcept nogil:
    # The message in hand is moved.
    incoming.start = incoming.scan
    incoming.size = incoming.body = incoming.parts = 0
    incoming.whole = False


cdef inline const unsigned char *first_part(Incoming *incoming) noexcept nogil:
    # The body of the first part of the message in hand; `first_size` is its size.
    return message_at(incoming) + incoming.first


cdef inline bint is_between_messages(Incoming *incoming) noexcept nogil:
    return not incoming.size and incoming.scan == incoming.end


# Room ---------------------------------------------------------------------------------------------------------

cdef inline size_t there_is(Incoming *incoming) noexcept nogil:
    # How many bytes it has, but commands that were taken out.
    return incoming.size + incoming.end - incoming.scan


cdef inline size_t make_room(Incoming *incoming, Heap *heap) noexcept nogil:
    # Has its block some room behind `end`: how many bytes may be read there; 0 if there is no memory.
    #
    # It is the heap's current block, where other connections go on after this one. A message that is large gets a block
    # of its own, which grows as its bytes come: what a peer announces costs nothing.
    cdef size_t lacking = incoming.need - (incoming.end - incoming.scan)
    cdef size_t there = there_is(incoming)
    cdef size_t free
    if incoming.block != NULL:
        free = incoming.block.size - incoming.end
        if incoming.block != heap.current:
            if free and there > SMALL_REST:
                return free
        elif free >= READ_BYTES and (there > SMALL_REST or heap.current.holders > 1):
            return READ_BYTES
    if there + lacking <= BLOCK_BYTES - READ_BYTES:
        return READ_BYTES if move_to_current(incoming, heap) else 0
    if not move_to_own(incoming, heap, there + min(max(lacking, <size_t>READ_BYTES), max(there, <size_t>BLOCK_BYTES))):
        return 0
    return incoming.block.size - incoming.end


cdef inline bint have_place(Incoming *incoming, Heap *heap, size_t size) noexcept nogil:
    # The same for so many bytes that are put behind `end` at once; False if there is no memory.
    cdef size_t there
    if incoming.block.size - incoming.end >= size:
        return True
    there = there_is(incoming)
    if size <= READ_BYTES and there + size <= BLOCK_BYTES - READ_BYTES:
        return move_to_current(incoming, heap)
    return move_to_own(incoming, heap, there + max(size, there))


cdef inline bint move_to_current(Incoming *incoming, Heap *heap) noexcept nogil:
    cdef Block *old = incoming.block
    cdef bint made
    if old != NULL and old == heap.current:
        if old.holders == 1:
            move_to(incoming, old, 0)
            return True
        # Until it is copied.
        old.holders += 1
    made = make_current(heap, there_is(incoming) + READ_BYTES)
    if made:
        move_to(incoming, heap.current, heap.at)
    if old != NULL and (made or old == heap.current):
        release_block(incoming, heap, old)
    return made


cdef inline bint move_to_own(Incoming *incoming, Heap *heap, size_t size) noexcept nogil:
    cdef Block *old = incoming.block
    cdef Block *block
    if old != NULL and old != heap.current and old.holders == 1 and not incoming.start:
        block = grown(heap, old, size + incoming.scan - incoming.size)
        if block == NULL:
            return False
        incoming.block = block
        return True
    block = new_block(heap, size)
    if block == NULL:
        return False
    move_to(incoming, block, 0)
    if old != NULL and old != heap.current:
        release_block(incoming, heap, old)
    return True


cdef inline void move_to(Incoming *incoming, Block *block, size_t at) noexcept nogil:
    # Copies what is there, without a gap between the frames of a message.
    cdef unsigned char *target = data_of(block) + at
    cdef size_t rest = incoming.end - incoming.scan
    if incoming.block != NULL:
        # Within a block, to its front.
        memmove(target, message_at(incoming), incoming.size)
        memmove(target + incoming.size, data_of(incoming.block) + incoming.scan, rest)
    incoming.block = block
    incoming.start = at
    incoming.scan = at + incoming.size
    incoming.end = incoming.scan + rest


cdef inline void release_block(Incoming *incoming, Heap *heap, Block *block) noexcept nogil:
    if block.holders == 1 and block.size == SMALL_REST and incoming.spare == NULL:
        incoming.spare = block
    else:
        let_go(heap, block)


cdef inline bint settle(Incoming *incoming, Heap *heap) noexcept nogil:
    # At the end of a turn: a few bytes that are left keep no large block. False if there is no memory.
    cdef size_t there = there_is(incoming), lacking
    cdef Block *old = incoming.block
    cdef Block *block = incoming.spare
    cdef bint own = old != NULL and old != heap.current
    if old == NULL or (own and there and old.size <= max(2 * there, <size_t>SMALL_REST)):
        return True
    if there:
        if there <= SMALL_REST and block != NULL:
            incoming.spare = NULL
        else:
            # With room to go on: bytes that come one by one must not cost a copy of all each.
            lacking = incoming.need - (incoming.end - incoming.scan)
            block = new_block(heap, max(there + min(there, lacking), <size_t>SMALL_REST))
            if block == NULL:
                return False
        if not own:
            heap.at = incoming.start
        move_to(incoming, block, 0)
    else:
        incoming.block = NULL
        incoming.start = incoming.scan = incoming.end = 0
    if own:
        release_block(incoming, heap, old)
    return True


cdef inline void forget(Incoming *incoming, Heap *heap) noexcept nogil:
    # Nothing more comes from this connection.
    if incoming.block != NULL and incoming.block != heap.current:
        let_go(heap, incoming.block)
    if incoming.spare != NULL:
        let_go(heap, incoming.spare)
    incoming.block = incoming.spare = NULL
    incoming.start = incoming.scan = incoming.end = 0
    incoming.need = 1
    next_message(incoming)

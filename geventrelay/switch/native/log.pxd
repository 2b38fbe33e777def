# All that a side has published of late, which can be read again by its number: a log. Without Python.
#
#     Log.pieces, a ring --> Piece --bytes--> when it came, message | when it came, message | ...
#
# Messages are copied to pieces of the log's own, where they lie as frames of ZMTP 2.0 and later: what comes is read into blocks
# of 256 KiB, which other messages are in, too. A piece goes when all of its messages are forgotten.

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from .account cimport Account, give_stored, take_stored
from .frames cimport message_size

cdef enum:
    # Of a piece; a message that is larger has one of its own. Half of one is walked through to find a message.
    PIECE_BYTES = 65536
    FEW_PIECES = 8
    # Before each message: when it came.
    TIME_BYTES = 8


cdef struct Piece:
    unsigned char *bytes
    size_t size
    # Where the first message that is kept begins, with its time; its number; and how many there are.
    size_t at
    uint64_t first
    size_t count
    # Where the last one ends, and when it came.
    size_t end
    double newest


cdef struct Log:
    Account *account
    # `room` is 0 or a power of two.
    Piece *pieces
    size_t room
    size_t first
    size_t count
    # The numbers of the oldest message that is kept, and of the next one that comes.
    uint64_t oldest
    uint64_t next
    # Of all messages, without their times.
    size_t nbytes
    # `geventrelay.switch.contract.LogPlan`; 0 for no limit.
    uint64_t most_messages
    size_t most_bytes
    double max_age
    # What is counted: messages that were forgotten for want of memory.
    long long for_memory


cdef inline Piece *piece_at(const Log *log, size_t index) noexcept nogil:
    return &log.pieces[(log.first + index) & (log.room - 1)]


cdef inline size_t messages_bytes(const Piece *piece) noexcept nogil:
    return piece.end - piece.at - TIME_BYTES * piece.count


cdef inline void append_to_log(Log *log, const unsigned char *message, size_t size, double now) noexcept nogil:
    # Gives a message the next number, and keeps it if the bounds let it. The oldest make room before it comes: what is kept
    # is the same as if they did afterwards.
    cdef Piece *piece = NULL
    cdef bint fits = make_way(log, size, now)
    if fits:
        piece = piece_with_room(log, TIME_BYTES + size)
    if piece == NULL:
        if fits:
            # There is no memory. A log has no holes.
            forget_for_memory(log, 0)
            log.for_memory += 1
        log.next += 1
        log.oldest = log.next
        return
    memcpy(piece.bytes + piece.end, &now, TIME_BYTES)
    memcpy(piece.bytes + piece.end + TIME_BYTES, message, size)
    piece.end += TIME_BYTES + size
    piece.count += 1
    piece.newest = now
    log.nbytes += size
    log.next += 1


# Forgetting -----------------------------------------------------------------------------------------------------

cdef inline bint make_way(Log *log, size_t size, double now) noexcept nogil:
    # Forgets the oldest messages for one that comes; False if it is too large itself, and then all are forgotten.
    cdef size_t half = log.account.limit // 2
    forget_aged(log, now)
    if log.most_messages and log.next - log.oldest >= log.most_messages:
        forget_before(log, log.next - log.most_messages + 1)
    forget_bytes(log, log.most_bytes - size if size < log.most_bytes else 0)
    if size > log.most_bytes:
        forget_before(log, log.next)
        return False
    # Half of the memory budget is for what waits, however much is to be kept.
    if log.nbytes + size <= half:
        return True
    forget_for_memory(log, half - size if size < half else 0)
    if size <= half:
        return True
    log.for_memory += 1
    return False


cdef inline void forget_for_memory(Log *log, size_t nbytes) noexcept nogil:
    # Forgets the oldest messages for want of memory, until no more than so many bytes are kept.
    cdef uint64_t before = log.oldest
    forget_bytes(log, nbytes)
    log.for_memory += <long long>(log.oldest - before)


cdef inline void forget_bytes(Log *log, size_t nbytes) noexcept nogil:
    # Forgets the oldest messages until no more than so many bytes are kept.
    cdef Piece *piece
    while log.nbytes > nbytes:
        piece = piece_at(log, 0)
        if log.nbytes - messages_bytes(piece) >= nbytes:
            forget_piece(log)
        else:
            forget_first(log, piece)


cdef inline void forget_before(Log *log, uint64_t number) noexcept nogil:
    # Forgets the messages before the one of a number.
    cdef Piece *piece
    while log.oldest < number:
        piece = piece_at(log, 0)
        if number - log.oldest >= piece.count:
            forget_piece(log)
        else:
            forget_first(log, piece)


cdef inline void forget_aged(Log *log, double now) noexcept nogil:
    # Forgets what is too old at a time.
    cdef Piece *piece
    cdef double than = now - log.max_age, since
    while log.max_age > 0 and log.oldest < log.next:
        piece = piece_at(log, 0)
        if piece.newest < than:
            forget_piece(log)
            continue
        memcpy(&since, piece.bytes + piece.at, TIME_BYTES)
        if since >= than:
            break
        forget_first(log, piece)


cdef inline void forget_first(Log *log, Piece *piece) noexcept nogil:
    # Forgets one message, the first one of the first piece.
    cdef size_t size
    if piece.count == 1:
        forget_piece(log)
        return
    size = message_size(piece.bytes + piece.at + TIME_BYTES, False)
    piece.at += TIME_BYTES + size
    piece.first += 1
    piece.count -= 1
    log.nbytes -= size
    log.oldest += 1


cdef inline void forget_piece(Log *log) noexcept nogil:
    # Forgets all messages of the first piece.
    cdef Piece *piece = piece_at(log, 0)
    log.nbytes -= messages_bytes(piece)
    log.oldest += piece.count
    give_stored(log.account, piece.size)
    free(piece.bytes)
    log.first = (log.first + 1) & (log.room - 1)
    log.count -= 1
    if not log.count:
        free_ring(log)


# Room -----------------------------------------------------------------------------------------------------------

cdef inline Piece *piece_with_room(Log *log, size_t size) noexcept nogil:
    # The last piece, with room for so many bytes; NULL if there is no memory.
    cdef Piece *piece
    if log.count:
        piece = piece_at(log, log.count - 1)
        if piece.size - piece.end >= size:
            return piece
        trim(log, piece)
    if log.count == log.room and not make_more_pieces(log):
        return NULL
    piece = piece_at(log, log.count)
    piece.size = max(size, <size_t>PIECE_BYTES)
    piece.bytes = <unsigned char *>malloc(piece.size)
    if piece.bytes == NULL:
        if not log.count:
            free_ring(log)
        return NULL
    take_stored(log.account, piece.size)
    piece.first = log.next
    piece.at = piece.end = piece.count = 0
    log.count += 1
    return piece


cdef inline void trim(Log *log, Piece *piece) noexcept nogil:
    # Gives the end of a piece back that has no room for the next message, which may be a large one.
    cdef unsigned char *bytes
    if piece.size - piece.end <= piece.size // 8:
        return
    bytes = <unsigned char *>realloc(piece.bytes, piece.end)
    if bytes != NULL:
        give_stored(log.account, piece.size - piece.end)
        piece.bytes = bytes
        piece.size = piece.end


cdef inline bint make_more_pieces(Log *log) noexcept nogil:
    cdef size_t room = 2 * log.room or FEW_PIECES
    cdef size_t index
    cdef Piece *pieces = <Piece *>malloc(room * sizeof(Piece))
    if pieces == NULL:
        return False
    for index in range(log.count):
        pieces[index] = piece_at(log, index)[0]
    free_ring(log)
    take_stored(log.account, room * sizeof(Piece))
    log.pieces = pieces
    log.room = room
    return True


cdef inline void free_ring(Log *log) noexcept nogil:
    give_stored(log.account, log.room * sizeof(Piece))
    free(log.pieces)
    log.pieces = NULL
    log.room = log.first = 0

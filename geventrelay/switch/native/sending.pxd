# The way of a message that has come: to each destination, or not yet. Without Python, but for the tap.

from cpython.ref cimport PyObject

from .blocks cimport data_of, let_go
from .cutting cimport Cut, copy_cut, cut_for
from .ask cimport ask
from .parts cimport parts_of
from .peer cimport (
    ASKS, BLOCK, FULL, PUBLISHES, PUSHES, ROUTES, STOPPED, Core, Destination, Message, Side, Way, is_shut, room_of, takes
)
from .publish cimport give_group, has_room_at_all, publish
from .push cimport any_with_room, peer_with_room, push
from .route cimport route


cdef inline bint has_room(Way *way) noexcept nogil:
    # Whether what had to wait for room may go on, as far as is known without it.
    cdef Py_ssize_t index
    cdef Side *side
    if way.over:
        return True
    for index in range(way.count):
        side = way.destinations[index].side
        if way.destinations[index].drops:
            continue
        if side.kind == PUBLISHES:
            if side.slow == BLOCK and side.full != NULL and takes(side.full) and not room_of(side.full):
                return False
        elif side.kind == PUSHES and any_with_room(side) == NULL and not has_place_elsewhere(&way.destinations[index]):
            return False
    return True


cdef inline bint has_place_elsewhere(Destination *destination) noexcept nogil:
    # Whether there is an alternative that takes a message in turn now.
    return destination.otherwise != NULL and any_with_room(destination.otherwise) != NULL


cdef inline bint lacks_permits(Way *way) noexcept nogil:
    # Whether a destination that blocks has no room, and its alternative has no permits.
    cdef Py_ssize_t index
    cdef Destination *destination
    if way.over:
        return False
    for index in range(way.count):
        destination = &way.destinations[index]
        if destination.drops or destination.side.kind != PUSHES or destination.otherwise == NULL:
            continue
        if is_shut(destination.otherwise) and any_with_room(destination.side) == NULL:
            return True
    return False


cdef inline bint may_move(Way *way, const Message *message) noexcept nogil:
    # Whether each destination that blocks has room for a message.
    cdef Py_ssize_t index
    cdef Destination *destination
    cdef Cut cut
    for index in range(way.count):
        destination = &way.destinations[index]
        if destination.drops:
            continue
        if destination.side.kind == PUBLISHES:
            if destination.side.slow == BLOCK:
                cut_for(destination.payload, message, &cut)
                if not has_room_at_all(destination.side, cut.first, cut.first_size):
                    return False
        elif destination.side.kind == PUSHES and peer_with_room(destination.side) == NULL:
            if not has_place_elsewhere(destination):
                return False
    return True


cdef inline bint move_message(Core *core, Way *way, const Message *message) noexcept nogil:
    # Gives a message to every destination; False if it has to wait for one of them.
    cdef Py_ssize_t index
    if not way.over and not may_move(way, message):
        return False
    if way.tap != NULL and not way.over:
        show(way.tap, data_of(message.block) + message.at, message.size)
    way.received += 1
    way.received_parts += message.parts
    way.received_bytes += message.body
    for index in range(way.count):
        if way.over:
            way.destinations[index].dropped[STOPPED] += 1
        else:
            send(core, &way.destinations[index], message)
    return True


cdef inline void drop_message(Way *way, const Message *message, int reason) noexcept nogil:
    # For each destination, before the tap sees it.
    cdef Py_ssize_t index
    way.received += 1
    way.received_parts += message.parts
    way.received_bytes += message.body
    for index in range(way.count):
        way.destinations[index].dropped[reason] += 1


cdef inline void send(Core *core, Destination *destination, const Message *message) noexcept nogil:
    cdef Cut cut
    cut_for(destination.payload, message, &cut)
    destination.uncut += cut.uncut
    if cut.copied and not copy_cut(&core.heap, message, &cut):
        destination.dropped[FULL] += 1
        return
    if destination.side.kind == PUSHES:
        push(destination, &cut.message)
    elif destination.side.kind == PUBLISHES:
        publish(destination, &cut.message, cut.first, cut.first_size)
    elif destination.side.kind == ROUTES:
        route(destination, &cut.message)
    else:
        ask(destination, &cut.message, cut.first, cut.first_size)
    if cut.copied:
        let_go(&core.heap, cut.message.block)


cdef inline void give_groups(Way *way) noexcept nogil:
    # What was moved in this turn goes to subscribers now.
    cdef Py_ssize_t index
    for index in range(way.count):
        give_group(way.destinations[index].side)


cdef inline void show(PyObject *tap, const unsigned char *message, size_t size) noexcept nogil:
    # What a tap raises must not affect the traffic: it is told as what cannot be raised.
    with gil:
        (<object>tap)(parts_of(message, size))

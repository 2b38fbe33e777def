# The busiest of many topics, and how often each came: a table of few counters (Space-Saving). Without Python.
#
#     heads, by hash --> Place --next--> Place ...       `lowest` --> Bucket: a count --above--> Bucket ...
#         Counter of the same number --^  --bucket--^                  first --> Place --newer--> Place ...
#
# `geventrelay.switch.core_values.TopicCounts` has the rule. A topic that is not there takes the first counter of the lowest
# bucket, which is the one that was seen longest ago. All of a message takes the same few steps, however many counters there
# are; only a hash may have to be looked for longer. A place is an index, so that all can move to where there is more room.

from libc.math cimport exp
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from .account cimport Account, give_memory, take_memory

cdef enum:
    # `TOPIC_BYTES` and `LOST_TOPICS_FIRST` of the contract.
    MOST_TOPIC = 255
    FEW_COUNTERS = 8
    HEADS_A_COUNTER = 4

cdef enum:
    NO_PLACE = 0xffffffffU

cdef enum:
    # `RATE_S` of the contract: of late is so many seconds.
    RATE_SECONDS = 10
    # What is added to a rate grows meanwhile; after so many times that it begins anew at 1.
    MOST_AGES = 300


# Counters with the same count, the one that was seen longest ago first.
cdef struct Bucket:
    long long count
    uint32_t first
    uint32_t last
    uint32_t below
    # Of one that is free, the next one that is.
    uint32_t above


cdef struct Counter:
    # See `geventrelay.switch.core_values.TopicCount`. The rates are as `Busiest.weight` says.
    long long error
    long long nbytes
    double rate
    double bytes_rate
    double last
    unsigned char size
    unsigned char topic[MOST_TOPIC]


# Where a counter is, apart from it: what is looked at of many lies together.
cdef struct Place:
    uint32_t hashed
    # Of those whose hash has the same head.
    uint32_t next
    uint32_t bucket
    uint32_t older
    uint32_t newer


cdef struct Busiest:
    # Which has its room; NULL if none has.
    Account *account
    # How many counters it may have, has room for, and has.
    uint32_t most
    uint32_t room
    uint32_t count
    Counter *counters
    Place *places
    Bucket *buckets
    # Of each, the first counter. A power of two, so many that few have two.
    uint32_t *heads
    uint32_t head_count
    # Others choose the topics, and must not know where they lead.
    uint64_t seed
    uint32_t lowest
    uint32_t free_bucket
    # The counter of the last topic, and how often it came since it was moved up.
    uint32_t newest
    long long pending
    # How often any topic came, and how often there was no memory for a counter at all.
    long long total
    long long untold
    # A message adds this to a rate, and makes it more with time, instead of less of what was before: so nothing has to be
    # done with the counters of other topics. It was 1 at `began`, and is that of `now`.
    double weight
    double began
    double now


cdef inline void count_message(
    Busiest *table, const unsigned char *topic, size_t size, size_t nbytes, double now
) noexcept nogil:
    # A message came: of its topic, and with so many bytes.
    cdef Counter *one
    if now > table.now:
        set_now(table, now)
    one = count_topic(table, topic, size, 1)
    if one != NULL:
        one.nbytes += nbytes
        one.rate += table.weight
        one.bytes_rate += table.weight * nbytes
        one.last = now


cdef inline Counter *count_topic(
    Busiest *table, const unsigned char *topic, size_t size, long long times
) noexcept nogil:
    # A topic came so often; its counter. NULL if there is no memory for any.
    cdef Counter *one
    cdef uint32_t hashed, place
    table.total += times
    size = min(size, <size_t>MOST_TOPIC)
    if table.pending:
        one = &table.counters[table.newest]
        if has_topic(one, topic, size):
            table.pending += times
            return one
        move_up(table)
    hashed = hash_of(table.seed, topic, size)
    place = find_counter(table, hashed, topic, size)
    if place == NO_PLACE:
        if table.count < table.room or make_more_counters(table):
            place = new_counter(table)
        elif table.count:
            place = take_over(table)
        else:
            table.untold += times
            return NULL
        one = &table.counters[place]
        one.size = <unsigned char>size
        memcpy(one.topic, topic, size)
        put_in(table, hashed, place)
    table.newest = place
    table.pending = times
    return &table.counters[place]


cdef inline long long count_of(const Busiest *table, uint32_t place) noexcept nogil:
    return table.buckets[table.places[place].bucket].count


# Rates ----------------------------------------------------------------------------------------------------------

cdef inline void set_now(Busiest *table, double now) noexcept nogil:
    cdef double age = (now - table.began) / RATE_SECONDS
    if age > MOST_AGES:
        begin_anew(table, exp(-age))
        table.began = now
        age = 0
    table.weight = exp(age)
    table.now = now


cdef inline void begin_anew(Busiest *table, double share) noexcept nogil:
    # Numbers must not grow without end. It comes every few minutes.
    cdef uint32_t place
    for place in range(table.count):
        table.counters[place].rate *= share
        table.counters[place].bytes_rate *= share


cdef inline double decayed(const Busiest *table, double rate, double now) noexcept nogil:
    # A rate as a number of something a second, at a time.
    return rate * exp((table.began - max(now, table.now)) / RATE_SECONDS) / RATE_SECONDS


# Counters and buckets -------------------------------------------------------------------------------------------

cdef inline uint32_t new_counter(Busiest *table) noexcept nogil:
    # One of a topic that never came, below all others. There is room.
    cdef uint32_t place = table.count
    begin_counter(&table.counters[place], 0)
    table.count += 1
    add_to_bucket(table, new_bucket(table, 0, NO_PLACE, table.lowest), place)
    return place


cdef inline uint32_t take_over(Busiest *table) noexcept nogil:
    # The counter that was seen longest ago of those with the smallest count, for another topic.
    cdef uint32_t place = table.buckets[table.lowest].first
    take_out(table, place)
    begin_counter(&table.counters[place], table.buckets[table.lowest].count)
    return place


cdef inline void begin_counter(Counter *one, long long error) noexcept nogil:
    one.error = error
    one.nbytes = 0
    one.rate = one.bytes_rate = one.last = 0


cdef inline void move_up(Busiest *table) noexcept nogil:
    # Has the counter of the last topic be where its count belongs. Each bucket that is passed is one message at least.
    cdef uint32_t place = table.newest
    cdef uint32_t bucket = table.places[place].bucket
    cdef uint32_t below = bucket, above = table.buckets[bucket].above
    cdef long long count = table.buckets[bucket].count + table.pending
    table.pending = 0
    while above != NO_PLACE and table.buckets[above].count <= count:
        below = above
        above = table.buckets[above].above
    if below == bucket and table.buckets[bucket].first == table.buckets[bucket].last:
        table.buckets[bucket].count = count
        return
    take_from_bucket(table, place)
    if table.buckets[bucket].first == NO_PLACE:
        free_bucket(table, bucket)
    if table.buckets[below].count != count:
        below = new_bucket(table, count, below, above)
    add_to_bucket(table, below, place)


cdef inline uint32_t new_bucket(Busiest *table, long long count, uint32_t below, uint32_t above) noexcept nogil:
    # There is one for each counter.
    cdef uint32_t place = table.free_bucket
    cdef Bucket *bucket = &table.buckets[place]
    table.free_bucket = bucket.above
    bucket.count = count
    bucket.first = bucket.last = NO_PLACE
    join(table, below, place)
    join(table, place, above)
    return place


cdef inline void free_bucket(Busiest *table, uint32_t place) noexcept nogil:
    join(table, table.buckets[place].below, table.buckets[place].above)
    table.buckets[place].above = table.free_bucket
    table.free_bucket = place


cdef inline void join(Busiest *table, uint32_t below, uint32_t above) noexcept nogil:
    if below == NO_PLACE:
        table.lowest = above
    else:
        table.buckets[below].above = above
    if above != NO_PLACE:
        table.buckets[above].below = below


cdef inline void add_to_bucket(Busiest *table, uint32_t bucket, uint32_t place) noexcept nogil:
    cdef Place *one = &table.places[place]
    one.bucket = bucket
    one.newer = NO_PLACE
    one.older = table.buckets[bucket].last
    if one.older == NO_PLACE:
        table.buckets[bucket].first = place
    else:
        table.places[one.older].newer = place
    table.buckets[bucket].last = place


cdef inline void take_from_bucket(Busiest *table, uint32_t place) noexcept nogil:
    cdef const Place *one = &table.places[place]
    if one.older == NO_PLACE:
        table.buckets[one.bucket].first = one.newer
    else:
        table.places[one.older].newer = one.newer
    if one.newer == NO_PLACE:
        table.buckets[one.bucket].last = one.older
    else:
        table.places[one.newer].older = one.older


# By topic -------------------------------------------------------------------------------------------------------

cdef inline uint32_t hash_of(uint64_t seed, const unsigned char *topic, size_t size) noexcept nogil:
    # 8 bytes at a time.
    cdef uint64_t hashed = mixed(seed + size)
    cdef uint64_t word = 0
    while size > 8:
        memcpy(&word, topic, 8)
        hashed = mixed(hashed ^ word)
        topic += 8
        size -= 8
    if size == 8:
        memcpy(&word, topic, 8)
    else:
        word = few_bytes(topic, size)
    # Twice: numbers in topics are much alike.
    return <uint32_t>mixed(mixed(hashed ^ word))


cdef inline uint64_t few_bytes(const unsigned char *topic, size_t size) noexcept nogil:
    # Less than 8 as one number, which is another one for all others of that size.
    cdef uint32_t low, high
    if size >= 4:
        memcpy(&low, topic, 4)
        memcpy(&high, topic + size - 4, 4)
        return <uint64_t>high << 32 | low
    if not size:
        return 0
    return <uint64_t>topic[0] << 16 | <uint64_t>topic[size >> 1] << 8 | topic[size - 1]


cdef inline uint64_t mixed(uint64_t word) noexcept nogil:
    word *= 0x9e3779b97f4a7c15ULL
    return word ^ word >> 32


cdef inline bint has_topic(const Counter *one, const unsigned char *topic, size_t size) noexcept nogil:
    # Topics that differ mostly do so in their last byte.
    return one.size == size and (not size or (one.topic[size - 1] == topic[size - 1] and not memcmp(one.topic, topic, size)))


cdef inline uint32_t find_counter(
    const Busiest *table, uint32_t hashed, const unsigned char *topic, size_t size
) noexcept nogil:
    # The counter of a topic; NO_PLACE if it has none.
    cdef uint32_t place = table.heads[hashed & (table.head_count - 1)] if table.head_count else NO_PLACE
    while place != NO_PLACE:
        if table.places[place].hashed == hashed and has_topic(&table.counters[place], topic, size):
            return place
        place = table.places[place].next
    return NO_PLACE


cdef inline void put_in(Busiest *table, uint32_t hashed, uint32_t place) noexcept nogil:
    cdef uint32_t *head = &table.heads[hashed & (table.head_count - 1)]
    table.places[place].hashed = hashed
    table.places[place].next = head[0]
    head[0] = place


cdef inline void take_out(Busiest *table, uint32_t place) noexcept nogil:
    cdef uint32_t *link = &table.heads[table.places[place].hashed & (table.head_count - 1)]
    while link[0] != place:
        link = &table.places[link[0]].next
    link[0] = table.places[place].next


# Room -----------------------------------------------------------------------------------------------------------

cdef inline size_t cost_of_counters(size_t room, size_t heads) noexcept nogil:
    return room * (sizeof(Counter) + sizeof(Place) + sizeof(Bucket)) + heads * sizeof(uint32_t)


cdef inline bint make_more_counters(Busiest *table) noexcept nogil:
    # False if it has as many as it may have. Where there is no memory, it goes on as a table of as many as it has: only so
    # holds what is promised of it. That is so, too, once the tables of all peers have taken an eighth of what the account may
    # have, but for the first few counters of each.
    cdef uint32_t room = min(max(2 * table.room, <uint32_t>FEW_COUNTERS), table.most)
    cdef uint32_t head_count = max(table.head_count, <uint32_t>FEW_COUNTERS)
    cdef size_t more
    if table.room == table.most:
        return False
    while head_count < HEADS_A_COUNTER * room:
        head_count *= 2
    more = cost_of_counters(room, head_count) - cost_of_counters(table.room, table.head_count)
    if table.account != NULL and table.room and table.account.counters + more > table.account.limit // 8:
        table.most = table.room
        return False
    # Each of these alone may have more room than it needs.
    if not (
        resize(<void **>&table.counters, room * sizeof(Counter)) and resize(<void **>&table.places, room * sizeof(Place))
        and resize(<void **>&table.buckets, room * sizeof(Bucket))
        and resize(<void **>&table.heads, head_count * sizeof(uint32_t))
    ):
        # If it has none, there may be memory another time.
        table.most = table.room or table.most
        return False
    use_room(table, room, head_count)
    count_room(table, more)
    return True


cdef inline bint resize(void **memory, size_t size) noexcept nogil:
    cdef void *grown = realloc(memory[0], size)
    if grown == NULL:
        return False
    memory[0] = grown
    return True


cdef inline void use_room(Busiest *table, uint32_t room, uint32_t head_count) noexcept nogil:
    cdef uint32_t place
    for place in range(table.room, room):
        table.buckets[place].above = table.free_bucket
        table.free_bucket = place
    table.room = room
    table.head_count = head_count
    for place in range(head_count):
        table.heads[place] = NO_PLACE
    for place in range(table.count):
        put_in(table, table.places[place].hashed, place)


cdef inline void count_room(Busiest *table, size_t more) noexcept nogil:
    if table.account != NULL:
        take_memory(table.account, more)
        table.account.counters += more


cdef inline void leave_account(Busiest *table) noexcept nogil:
    # What it has counts no more, and it gets no more.
    count_room(table, -cost_of_counters(table.room, table.head_count))
    table.account = NULL
    table.most = table.room


cdef inline void begin_table(Busiest *table, Account *account, uint32_t most, uint64_t seed) noexcept nogil:
    memset(table, 0, sizeof(Busiest))
    table.account = account
    table.most = most
    table.seed = seed
    table.lowest = table.free_bucket = NO_PLACE
    table.weight = 1


cdef inline void free_table(Busiest *table) noexcept nogil:
    # It counts nothing by topic any more.
    leave_account(table)
    free(table.counters)
    free(table.places)
    free(table.buckets)
    free(table.heads)
    begin_table(table, NULL, 0, 0)


cdef inline bint copy_table(Busiest *table, Busiest *copy) noexcept nogil:
    # All that can be read without finding, while the table goes on; False if there is no memory.
    if table.pending:
        move_up(table)
    copy[0] = table[0]
    copy.account = NULL
    copy.heads = NULL
    copy.head_count = 0
    copy.counters = <Counter *>calloc(max(table.count, <uint32_t>1), sizeof(Counter))
    copy.places = <Place *>calloc(max(table.count, <uint32_t>1), sizeof(Place))
    copy.buckets = <Bucket *>calloc(max(table.room, <uint32_t>1), sizeof(Bucket))
    if copy.counters == NULL or copy.places == NULL or copy.buckets == NULL:
        free_table(copy)
        return False
    if table.count:
        memcpy(copy.counters, table.counters, table.count * sizeof(Counter))
        memcpy(copy.places, table.places, table.count * sizeof(Place))
        memcpy(copy.buckets, table.buckets, table.room * sizeof(Bucket))
    return True

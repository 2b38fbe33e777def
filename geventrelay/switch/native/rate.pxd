# How much may come in within a second; `geventrelay.engine.rate` and `geventrelay.engine.bucket` are the same in Python.
# Without Python.


cdef struct Bucket:
    # 0 where there is no limit.
    double per_s
    double most
    double level
    double at


cdef struct Rate:
    Bucket messages
    Bucket nbytes
    bint drops


cdef inline bint is_there(Bucket *bucket, double now) noexcept nogil:
    # Whether a message may pass. Times may be a little older than the last one.
    if not bucket.per_s:
        return True
    if now > bucket.at:
        bucket.level = min(bucket.most, bucket.level + bucket.per_s * (now - bucket.at))
        bucket.at = now
    return bucket.level >= 1


cdef inline double wait_of(Bucket *bucket, double now) noexcept nogil:
    return 0 if is_there(bucket, now) else (1 - bucket.level) / bucket.per_s


cdef inline bint allows_one(Rate *rate, double now) noexcept nogil:
    return is_there(&rate.messages, now) and is_there(&rate.nbytes, now)


cdef inline void take_one(Rate *rate, double nbytes) noexcept nogil:
    rate.messages.level -= 1
    rate.nbytes.level -= nbytes

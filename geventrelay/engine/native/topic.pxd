# What stands before the first space of a message: a topic, or a part of the payload. Without the GIL.

cdef enum:
    # `geventrelay.engine.outlet.LONGEST_TOPIC`, in bytes.
    LONGEST_TOPIC = 255


cdef inline bint is_topic(const unsigned char *text, size_t length) noexcept nogil:
    # Whether this is UTF-8 without control characters, not too long, and not the beginning of JSON.
    cdef size_t index = 0, more
    cdef unsigned char first, second
    if length > LONGEST_TOPIC:
        return False
    if length and (text[0] == 0x7b or text[0] == 0x5b or text[0] == 0x22):
        return False
    while index < length:
        first = text[index]
        index += 1
        if first < 0x80:
            if first < 0x20 or first == 0x7f:
                return False
            continue
        # RFC 3629, section 4: what may follow which first byte. Shortest forms only, no surrogates, and none of the
        # control characters from U+0080 to U+009F.
        if first < 0xc2 or first > 0xf4:
            return False
        more = 1 if first < 0xe0 else 2 if first < 0xf0 else 3
        if length - index < more:
            return False
        second = text[index]
        if (
            (first == 0xc2 and second < 0xa0)
            or (first == 0xe0 and second < 0xa0)
            or (first == 0xed and second > 0x9f)
            or (first == 0xf0 and second < 0x90)
            or (first == 0xf4 and second > 0x8f)
        ):
            return False
        while more:
            if text[index] & 0xc0 != 0x80:
                return False
            index += 1
            more -= 1
    return True

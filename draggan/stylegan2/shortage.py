"""What says that memory is used up."""

USED_UP = ("out of memory", "ALLOC_FAILED", "DefaultCPUAllocator")  # of torch's errors, as its allocators say it


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory is used up: Python's, or in torch's words a graphics card's or this machine's."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in USED_UP)
    )

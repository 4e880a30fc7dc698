/* Shadow stacks and the table of suspended frames. The table is open-addressed with linear probing; the caller holds the GIL. */
#include "shadow.h"

#include <stdlib.h>
#include <string.h>

int shadow_grow(Shadow *shadow)
{
    uint32_t room = shadow->room ? shadow->room * 2 : 32;
    Entry *entries = realloc(shadow->entries, room * sizeof *entries);
    if (!entries)
        return -1;
    shadow->entries = entries;
    shadow->room = room;
    return 0;
}

void shadow_free(Shadow *shadow)
{
    free(shadow->entries);
    memset(shadow, 0, sizeof *shadow);
}

static struct {
    Entry *slots; /* frame NULL: free */
    uint32_t room, used, hand;
} parked;

static uint32_t home(const void *frame)
{
    return (uint32_t)(((uintptr_t)frame >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (parked.room - 1);
}

static Entry *find(const void *frame)
{
    for (uint32_t i = home(frame);; i = (i + 1) & (parked.room - 1))
        if (!parked.slots[i].frame || parked.slots[i].frame == frame)
            return &parked.slots[i];
}

/* Empties a slot, and moves up those behind it that would not be found any more. */
static void erase(Entry *slot)
{
    uint32_t mask = parked.room - 1, hole = (uint32_t)(slot - parked.slots);
    for (uint32_t i = (hole + 1) & mask; parked.slots[i].frame; i = (i + 1) & mask) {
        uint32_t at = home(parked.slots[i].frame);
        if (((i - at) & mask) >= ((i - hole) & mask)) {
            parked.slots[hole] = parked.slots[i];
            hole = i;
        }
    }
    parked.slots[hole].frame = NULL;
    parked.used--;
}

static int grow(void)
{
    uint32_t room = parked.room ? parked.room * 2 : 256, old_room = parked.room;
    Entry *slots = calloc(room, sizeof *slots), *old = parked.slots;
    if (!slots)
        return -1;
    parked.slots = slots;
    parked.room = room;
    for (uint32_t i = 0; i < old_room; i++)
        if (old[i].frame)
            *find(old[i].frame) = old[i];
    free(old);
    return 0;
}

/* Room for one more; a full table forgets whichever comes next under the hand. */
static int make_room(void)
{
    if (parked.used >= PARKED_MAX) {
        while (!parked.slots[parked.hand & (parked.room - 1)].frame)
            parked.hand++;
        erase(&parked.slots[parked.hand++ & (parked.room - 1)]);
        return 0;
    }
    return parked.used * 2 < parked.room ? 0 : grow();
}

void parked_put(const Entry *entry)
{
    if (make_room() < 0)
        return;
    Entry *slot = find(entry->frame);
    parked.used += slot->frame == NULL;
    *slot = *entry;
}

int parked_take(const void *frame, Entry *entry)
{
    if (!parked.used)
        return 0;
    Entry *slot = find(frame);
    if (!slot->frame)
        return 0;
    *entry = *slot;
    erase(slot);
    return 1;
}

int parked_holds(const void *frame) { return parked.used && find(frame)->frame; }

void parked_forget(void)
{
    free(parked.slots);
    memset(&parked, 0, sizeof parked);
}

uint32_t parked_count(void) { return parked.used; }

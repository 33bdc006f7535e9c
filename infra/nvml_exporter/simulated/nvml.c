/* A simulated libnvidia-ml.so.1: NVML's functions over scripted power curves, for machines without a GPU.
 *
 * The energy register is the exact integral of the curve, refreshed every 100 ms as on real boards, so a test can
 * assert joules to the millijoule. Power is the mean of the last second, as on Ampere and newer, or of the sampled
 * quarter of it, as on boards that look at 25 ms of every 100. Everything says SIMULATED. The script and its clock are
 * described in README.md beside this file.
 *
 * Units: milliseconds, milliwatts, millijoules. 1 mW x 1 ms = 1 microjoule; integrals are kept in half microjoules,
 * because a ramp's triangle halves a product.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "nvml.h"

static const char *const QUERY_NAMES[QUERIES] = {"energy", "power", "limit", "utilization", "memory", "processes"};
static struct gpu gpus[MAX_GPUS], mig[MAX_GPUS][MIG_SLICES];
static int gpu_count;
static nvmlReturn_t init_result;
static bool initialised;

/* --- the clock ------------------------------------------------------------------------------------------------- */

static int64_t now_ms(void) {
    const char *path = getenv("SIMULATED_NVML_CLOCK");
    if (path) {
        int64_t ms = 0;
        FILE *file = fopen(path, "re");
        if (!file || fscanf(file, "%" SCNd64, &ms) != 1) {
            fprintf(stderr, "SIMULATED_NVML_CLOCK: %s holds no whole number of milliseconds\n", path);
            abort();
        }
        fclose(file);
        return ms;
    }
    /* Time since boot, not since start: the register outlives the process that reads it, as a driver's does. */
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- the curve ------------------------------------------------------------------------------------------------- */

static int64_t segment_energy(const struct segment *s, int64_t ms) {
    __int128 ramp = (__int128)(s->to_mw - s->from_mw) * ms * ms / s->length_ms;
    return 2 * s->from_mw * ms + (int64_t)ramp;
}

static int64_t energy_from_start(const struct gpu *gpu, int64_t ms) {
    int64_t total = 0;
    for (int i = 0; i < gpu->segments && ms > 0; i++) {
        const struct segment *s = &gpu->curve[i];
        total += segment_energy(s, ms < s->length_ms ? ms : s->length_ms);
        ms -= s->length_ms;
    }
    if (ms > 0 && gpu->segments) total += 2 * gpu->curve[gpu->segments - 1].to_mw * ms;
    return total;
}

/* Half microjoules drawn by the curve between its own beginning and ms. */
static int64_t curve_energy(const struct gpu *gpu, int64_t ms) {
    int64_t length_ms = 0;
    for (int i = 0; i < gpu->segments; i++) length_ms += gpu->curve[i].length_ms;
    if (!gpu->repeat || !length_ms) return energy_from_start(gpu, ms);
    return ms / length_ms * energy_from_start(gpu, length_ms) + energy_from_start(gpu, ms % length_ms);
}

static int64_t drawn(const struct gpu *gpu, int64_t from_ms, int64_t to_ms) {
    if (to_ms <= from_ms) return 0;
    return curve_energy(gpu, gpu->phase_ms + to_ms) - curve_energy(gpu, gpu->phase_ms + from_ms);
}

static int64_t refreshed_ms(void) {
    int64_t now = now_ms();
    return now - now % REFRESH_MS;
}

static uint64_t register_mj(const struct gpu *gpu) {
    int64_t now = refreshed_ms(), since = 0, begin_mj = gpu->register_mj;
    for (int i = 0; i < gpu->resets; i++)
        if (gpu->resets_ms[i] <= now && gpu->resets_ms[i] >= since) since = gpu->resets_ms[i], begin_mj = 0;
    return (uint64_t)(begin_mj + drawn(gpu, since, now) / 2000);
}

static int64_t sampled_power_mw(const struct gpu *gpu, int64_t from, int64_t to) {
    int64_t seen = 0;
    for (int64_t ms = from; ms < to; ms += REFRESH_MS) seen += drawn(gpu, ms, ms + gpu->duty_ms);
    return seen * REFRESH_MS / (2 * (to - from) * gpu->duty_ms);
}

static int64_t mean_power_mw(const struct gpu *gpu) {
    int64_t now = refreshed_ms(), span = now < POWER_MEAN_MS ? now : POWER_MEAN_MS;
    if (span && gpu->duty_ms) return sampled_power_mw(gpu, now - span, now);
    return span ? drawn(gpu, now - span, now) / (2 * span) : gpu->curve[0].from_mw;
}

/* --- the script ------------------------------------------------------------------------------------------------ */

static uint64_t site_hash(void) {
    const char *site = getenv("SIMULATED_NVML_SITE");
    if (!site) site = getenv("COMMONWEAL_MEMBER");
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const char *c = site ? site : "local"; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return hash;
}

/* Devices of two sites must not share a UUID. */
static void set_uuid(struct gpu *gpu, int index) {
    snprintf(gpu->uuid, sizeof gpu->uuid, "GPU-00000000-0000-4000-8000-%010" PRIx64 "%02x",
             site_hash() & 0xffffffffffu, index);
}

static struct gpu *new_gpu(void) {
    if (gpu_count == MAX_GPUS) return NULL;
    struct gpu *gpu = &gpus[gpu_count];
    memset(gpu, 0, sizeof *gpu);
    snprintf(gpu->name, sizeof gpu->name, "SIMULATED GPU 80GB");
    gpu->index = gpu_count;
    set_uuid(gpu, gpu_count++);
    gpu->limit_mw = 700000;
    gpu->memory_mib = 81920;
    return gpu;
}

static bool add_span(struct span *spans, int *count, int64_t from, int64_t to, int64_t value) {
    if (*count == MAX_EVENTS || from < 0 || to <= from) return false;
    spans[(*count)++] = (struct span){from, to, value};
    return true;
}

static bool add_segment(struct gpu *gpu, int64_t length, int64_t from, int64_t to) {
    if (gpu->segments == MAX_SEGMENTS || length <= 0) return false;
    if (from < 0 || from > MAX_MW || to < 0 || to > MAX_MW) return false;
    gpu->curve[gpu->segments++] = (struct segment){length, from, to};
    return true;
}

static bool add_slice(struct gpu *board, int64_t gpu_instance, int64_t slices) {
    if (gpu_instance < 0 || gpu_instance > 14 || slices < 1) return false;
    int64_t used = slices;
    for (int i = 0; i < board->slice_count; i++) {
        used += mig[board->index][i].slices;
        if (mig[board->index][i].gpu_instance == gpu_instance) return false;
    }
    if (used > MIG_SLICES) return false;
    struct gpu *slice = &mig[board->index][board->slice_count++];
    memset(slice, 0, sizeof *slice);
    slice->parent = board;
    slice->gpu_instance = (unsigned int)gpu_instance;
    slice->slices = (unsigned int)slices;
    snprintf(slice->uuid, sizeof slice->uuid, "MIG-%08x%s", slice->gpu_instance, board->uuid + strlen("GPU-00000000"));
    return true;
}

static bool add_process(struct gpu *gpu, int64_t pid, struct span busy, int64_t gpu_instance) {
    if (gpu->process_count == MAX_PROCESSES || pid < 1 || busy.to_ms <= busy.from_ms) return false;
    if (busy.value < 0 || busy.value > 100) return false;
    gpu->processes[gpu->process_count++] = (struct process){busy, (unsigned int)pid, (unsigned int)gpu_instance};
    return true;
}

static bool set_failure(struct gpu *gpu, const char *query, int code) {
    for (int i = 0; i < QUERIES; i++)
        if (!strcmp(query, QUERY_NAMES[i])) return gpu->failure[i] = code, true;
    return false;
}

static bool parse_gpu_line(struct gpu *gpu, const char *line) {
    int64_t a, b, c, d, e;
    char word[32];
    int end = -1;
#define LINE(format, ...) (end = -1, sscanf(line, format " %n", __VA_ARGS__, &end), end >= 0 && !line[end])
    if (LINE("power %" SCNd64 " %" SCNd64 " %" SCNd64, &a, &b, &c)) return add_segment(gpu, a, b, c);
    if (!strcmp(line, "repeat")) return gpu->repeat = true;
    if (!strcmp(line, "gpm")) return gpu->gpm = true;
    if (!strcmp(line, "scope module")) return gpu->module_scope = true;
    if (!strncmp(line, "model ", 6)) return snprintf(gpu->name, sizeof gpu->name, "SIMULATED GPU %s", line + 6) > 0;
    if (LINE("register_mj %" SCNd64, &a)) return gpu->register_mj = a, a >= 0;
    if (LINE("phase_ms %" SCNd64, &a)) return gpu->phase_ms = a, a >= 0;
    if (LINE("limit_mw %" SCNd64, &a)) return gpu->limit_mw = a, a > 0;
    if (LINE("memory_mib %" SCNd64, &a)) return gpu->memory_mib = a, a > 0;
    if (LINE("reset %" SCNd64, &a)) return gpu->resets < MAX_EVENTS && a >= 0 && (gpu->resets_ms[gpu->resets++] = a, true);
    if (LINE("lost %" SCNd64 " %" SCNd64, &a, &b)) return add_span(gpu->lost, &gpu->losses, a, b, 0);
    if (LINE("latency %" SCNd64 " %" SCNd64 " %" SCNd64, &a, &b, &c))
        return add_span(gpu->latency, &gpu->latencies, a, b, c);
    if (LINE("duty_ms %" SCNd64, &a)) return gpu->duty_ms = a, a > 0 && a <= REFRESH_MS;
    if (LINE("mig %" SCNd64 " %" SCNd64, &a, &b)) return add_slice(gpu, a, b);
    if (LINE("process %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64, &a, &b, &c, &d, &e))
        return e >= 0 && e <= 14 && add_process(gpu, a, (struct span){b, c, d}, e);
    if (LINE("process %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64, &a, &b, &c, &d))
        return add_process(gpu, a, (struct span){b, c, d}, NO_INSTANCE);
    if (LINE("fails %31s %" SCNd64, word, &a)) return set_failure(gpu, word, (int)a);
#undef LINE
    return false;
}

static bool parse_script(const char *path) {
    FILE *file = fopen(path, "re");
    if (!file) return fprintf(stderr, "SIMULATED_NVML_SCRIPT: %s: %s\n", path, strerror(errno)), false;
    char buffer[256];
    bool good = true;
    struct gpu *gpu = NULL;
    for (int number = 1; good && fgets(buffer, sizeof buffer, file); number++) {
        buffer[strcspn(buffer, "#\n")] = 0;
        char *line = buffer + strspn(buffer, " \t");
        for (size_t n = strlen(line); n && isspace((unsigned char)line[n - 1]);) line[--n] = 0;
        if (!*line) continue;
        if (!strcmp(line, "gpu")) good = (gpu = new_gpu()) != NULL;
        else if (sscanf(line, "init %d", &init_result) == 1) continue;
        else good = gpu && parse_gpu_line(gpu, line);
        if (!good) fprintf(stderr, "%s:%d: \"%s\" is not a line of a script; see the README beside nvml.c\n", path, number, line);
    }
    fclose(file);
    return good;
}

/* About 300 W over a day, 220 W at night and 380 W by day; each device draws 3 W more and lags an hour behind the one
 * before, and each site has its own noon, because two devices with equal series are what a copied meter looks like. */
static bool default_script(void) {
    const char *count = getenv("SIMULATED_NVML_GPUS");
    int wanted = count ? atoi(count) : 4;
    if (wanted < 1 || wanted > MAX_GPUS)
        return fprintf(stderr, "SIMULATED_NVML_GPUS: %s is not between 1 and %d\n", count, MAX_GPUS), false;
    const int64_t hour = 3600000;
    for (int i = 0; i < wanted; i++) {
        struct gpu *gpu = new_gpu();
        gpu->phase_ms = (24 - i) * hour + (int64_t)(site_hash() % (uint64_t)(24 * hour));
        gpu->repeat = true;
        const int64_t night_mw = 220000 + 3000 * i, day_mw = 380000 + 3000 * i;
        add_segment(gpu, 6 * hour, night_mw, night_mw);
        add_segment(gpu, 4 * hour, night_mw, day_mw);
        add_segment(gpu, 8 * hour, day_mw, day_mw);
        add_segment(gpu, 4 * hour, day_mw, night_mw);
        add_segment(gpu, 2 * hour, night_mw, night_mw);
    }
    return true;
}

static bool runs(const struct process *process, int64_t now) {
    return now >= process->busy.from_ms && now < process->busy.to_ms;
}

/* --- what NVML exports ----------------------------------------------------------------------------------------- */

static nvmlReturn_t asked(const struct gpu *gpu, enum query query) {
    if (!initialised) return UNINITIALIZED;
    if (gpu >= &mig[0][0] && gpu <= &mig[MAX_GPUS - 1][MIG_SLICES - 1]) gpu = gpu->parent;
    if (gpu < gpus || gpu >= gpus + gpu_count) return INVALID_ARGUMENT;
    int64_t now = now_ms();
    for (int i = 0; i < gpu->latencies; i++)
        if (now >= gpu->latency[i].from_ms && now < gpu->latency[i].to_ms) {
            int64_t ms = gpu->latency[i].value;
            nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
        }
    for (int i = 0; i < gpu->losses; i++)
        if (now >= gpu->lost[i].from_ms && now < gpu->lost[i].to_ms) return GPU_IS_LOST;
    return query < QUERIES ? gpu->failure[query] : SUCCESS;
}

static nvmlReturn_t copied(char *to, unsigned int size, const char *from) {
    return snprintf(to, size, "%s", from) < (int)size ? SUCCESS : INSUFFICIENT_SIZE;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    if (initialised) return SUCCESS;
    const char *script = getenv("SIMULATED_NVML_SCRIPT");
    gpu_count = 0;
    init_result = SUCCESS;
    if (!(script ? parse_script(script) : default_script())) return INVALID_ARGUMENT;
    initialised = init_result == SUCCESS;
    return init_result;
}

nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

nvmlReturn_t nvmlShutdown(void) {
    if (!initialised) return UNINITIALIZED;
    initialised = false;
    return SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t result) {
    switch (result) {
    case SUCCESS: return "The operation was successful";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "SIMULATED error";
    }
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int size) {
    return initialised ? copied(version, size, "simulated") : UNINITIALIZED;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    if (!initialised) return UNINITIALIZED;
    *count = (unsigned int)gpu_count;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    if (!initialised) return UNINITIALIZED;
    if (index >= (unsigned int)gpu_count) return INVALID_ARGUMENT;
    *device = &gpus[index];
    return asked(*device, QUERIES);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int size) {
    nvmlReturn_t result = asked(device, QUERIES);
    return result ? result : copied(uuid, size, device->uuid);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int size) {
    nvmlReturn_t result = asked(device, QUERIES);
    return result ? result : copied(name, size, device->name);
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *mj) {
    nvmlReturn_t result = asked(device, ENERGY);
    if (!result) *mj = register_mj(device);
    return result;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *mw) {
    nvmlReturn_t result = asked(device, POWER);
    if (!result) *mw = (unsigned int)mean_power_mw(device);
    return result;
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int *mw) {
    nvmlReturn_t result = asked(device, LIMIT);
    if (!result) *mw = (unsigned int)device->limit_mw;
    return result;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    nvmlReturn_t result = asked(device, UTILIZATION);
    if (result) return result;
    if (device->slice_count) return NOT_SUPPORTED;
    int64_t percent = device->process_count ? 0 : 100 * mean_power_mw(device) / device->limit_mw, now = refreshed_ms();
    for (int i = 0; i < device->process_count; i++)
        if (runs(&device->processes[i], now)) percent += device->processes[i].busy.value;
    rates->gpu = (unsigned int)(percent > 100 ? 100 : percent);
    rates->memory = rates->gpu / 2;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    nvmlReturn_t result = asked(device, MEMORY);
    if (result) return result;
    memory->total = (unsigned long long)device->memory_mib << 20;
    memory->used = memory->total / 2;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

static void answer(const struct gpu *gpu, nvmlFieldValue_t *field) {
    field->timestamp_us = now_ms() * 1000;
    field->latency_us = 25;
    field->result = NOT_SUPPORTED;
    if (field->field_id == FIELD_TOTAL_ENERGY) {
        field->result = gpu->failure[ENERGY];
        field->value_type = TYPE_UNSIGNED_LONG_LONG;
        field->value.ull = register_mj(gpu);
    } else if (field->field_id == FIELD_POWER_AVERAGE && field->scope_id == (gpu->module_scope ? SCOPE_MODULE : SCOPE_GPU)) {
        field->result = gpu->failure[POWER];
        field->value_type = TYPE_UNSIGNED_INT;
        field->value.ui = (unsigned int)mean_power_mw(gpu);
    }
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *fields) {
    nvmlReturn_t result = asked(device, QUERIES);
    if (result) return result;
    for (int i = 0; i < count; i++) answer(device, &fields[i]);
    return SUCCESS;
}

/* --- MIG and processes ----------------------------------------------------------------------------------------- */

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
    nvmlReturn_t result = asked(device, QUERIES);
    if (!result) *current = *pending = device->slice_count > 0;
    return result;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count) {
    nvmlReturn_t result = asked(device, QUERIES);
    if (!result) *count = MIG_SLICES;
    return result;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *slice) {
    nvmlReturn_t result = asked(device, QUERIES);
    if (result) return result;
    if (index >= MIG_SLICES) return INVALID_ARGUMENT;
    if (index >= (unsigned int)device->slice_count) return NOT_FOUND;
    *slice = &mig[device->index][index];
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id) {
    nvmlReturn_t result = asked(device, QUERIES);
    if (result) return result;
    if (!device->parent) return INVALID_ARGUMENT;
    *id = device->gpu_instance;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minor) {
    nvmlReturn_t result = asked(device, QUERIES);
    if (!result) *minor = (unsigned int)device->index;
    return result;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, unsigned int id, nvmlDevice_t *instance) {
    nvmlReturn_t result = asked(device, QUERIES);
    if (result) return result;
    for (int i = 0; i < device->slice_count; i++)
        if (mig[device->index][i].gpu_instance == id) return *instance = &mig[device->index][i], SUCCESS;
    return NOT_FOUND;
}

nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlDevice_t instance, nvmlGpuInstanceInfo_t *info) {
    nvmlReturn_t result = asked(instance, QUERIES);
    if (result) return result;
    *info = (nvmlGpuInstanceInfo_t){.device = instance->parent, .id = instance->gpu_instance, .size = instance->slices};
    for (const struct gpu *slice = mig[instance->parent->index]; slice < instance; slice++) info->start += slice->slices;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
    nvmlReturn_t result = asked(device, QUERIES);
    if (result) return result;
    if (!device->parent) return INVALID_ARGUMENT;
    *attributes = (nvmlDeviceAttributes_t){.gpu_instance_slices = device->slices, .compute_slices = device->slices};
    return SUCCESS;
}

/* As documented: without a buffer the answer is the size it needs, and SUCCESS only where there is nothing to say. */
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *to) {
    nvmlReturn_t result = asked(device, PROCESSES);
    if (result) return result;
    unsigned int found = 0;
    int64_t now = now_ms();
    for (int i = 0; i < device->process_count; i++) {
        const struct process *process = &device->processes[i];
        if (!runs(process, now)) continue;
        if (to && found < *count)
            to[found] = (nvmlProcessInfo_t){process->pid, 1 << 30, process->gpu_instance, 0};
        found++;
    }
    result = found > *count ? INSUFFICIENT_SIZE : SUCCESS;
    *count = found;
    return result;
}

/* One sample a busy process, dated at the last refresh; not under MIG, where the real call does not answer either. */
nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *to,
                                             unsigned int *count, unsigned long long since_us) {
    nvmlReturn_t result = asked(device, PROCESSES);
    if (result) return result;
    if (device->slice_count) return NOT_SUPPORTED;
    unsigned int found = 0;
    int64_t now = refreshed_ms();
    for (int i = 0; i < device->process_count; i++) {
        const struct process *process = &device->processes[i];
        if (!runs(process, now) || !process->busy.value || (unsigned long long)now * 1000 <= since_us) continue;
        if (to && found < *count)
            to[found] = (nvmlProcessUtilizationSample_t){
                .pid = process->pid, .timestamp_us = (unsigned long long)now * 1000, .sm = (unsigned int)process->busy.value};
        found++;
    }
    result = !found ? NOT_FOUND : !to || found > *count ? INSUFFICIENT_SIZE : SUCCESS;
    *count = found;
    return result;
}

/* --- GPM: how busy a board or a slice was between two samples --------------------------------------------------- */

nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *support) {
    nvmlReturn_t result = asked(device, QUERIES);
    if (!result) support->supported = device->gpm;
    return result;
}

nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *sample) {
    *sample = calloc(1, sizeof **sample);
    return *sample ? SUCCESS : INSUFFICIENT_SIZE;
}

nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample) {
    free(sample);
    return SUCCESS;
}

static nvmlReturn_t sampled(nvmlDevice_t device, unsigned int gpu_instance, nvmlGpmSample_t sample) {
    nvmlReturn_t result = asked(device, UTILIZATION);
    if (result) return result;
    if (!device->gpm || (gpu_instance == NO_INSTANCE) != !device->slice_count) return NOT_SUPPORTED;
    sample->device = device, sample->gpu_instance = gpu_instance, sample->at_ms = now_ms();
    return SUCCESS;
}

nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t sample) { return sampled(device, NO_INSTANCE, sample); }

nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t device, unsigned int gpu_instance, nvmlGpmSample_t sample) {
    return sampled(device, gpu_instance, sample);
}

static double busy_percent(const nvmlGpmSample_t first, const nvmlGpmSample_t second) {
    int64_t busy = 0, from = first->at_ms, to = second->at_ms;
    for (int i = 0; i < first->device->process_count; i++) {
        const struct process *process = &first->device->processes[i];
        if (process->gpu_instance != first->gpu_instance) continue;
        int64_t begin = process->busy.from_ms > from ? process->busy.from_ms : from;
        int64_t end = process->busy.to_ms < to ? process->busy.to_ms : to;
        if (end > begin) busy += process->busy.value * (end - begin);
    }
    double percent = to > from ? (double)busy / (double)(to - from) : 0;
    return percent > 100 ? 100 : percent;
}

nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *asked_for) {
    for (unsigned int i = 0; i < asked_for->count; i++) {
        nvmlGpmMetric_t *metric = &asked_for->metrics[i];
        metric->result = metric->metric_id == GPM_SM_UTIL ? SUCCESS : NOT_SUPPORTED;
        if (!metric->result) metric->value = busy_percent(asked_for->first, asked_for->second);
    }
    return SUCCESS;
}

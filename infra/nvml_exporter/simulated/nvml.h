/* The simulated NVML's types: what NVML passes by pointer, laid out as its header has it, and what a script fills. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef int nvmlReturn_t;
typedef struct gpu *nvmlDevice_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef union { double d; unsigned int ui; unsigned long long ull; } nvmlValue_t;
typedef struct {
    uint32_t field_id, scope_id;
    int64_t timestamp_us, latency_us;
    unsigned int value_type;
    nvmlReturn_t result;
    nvmlValue_t value;
} nvmlFieldValue_t;
typedef struct {
    unsigned int pid;
    unsigned long long timestamp_us;
    unsigned int sm, memory, encoder, decoder;
} nvmlProcessUtilizationSample_t;
typedef struct {
    unsigned int pid;
    unsigned long long used_bytes;
    unsigned int gpu_instance, compute_instance;
} nvmlProcessInfo_t;
typedef struct {
    unsigned int multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gpu_instance_slices, compute_slices;
    unsigned long long memory_mib;
} nvmlDeviceAttributes_t;
typedef struct { nvmlDevice_t device; unsigned int id, profile_id, start, size; } nvmlGpuInstanceInfo_t;
typedef struct { nvmlDevice_t device; unsigned int gpu_instance; int64_t at_ms; } *nvmlGpmSample_t;
typedef struct { unsigned int version, supported; } nvmlGpmSupport_t;
typedef struct {
    unsigned int metric_id;
    nvmlReturn_t result;
    double value;
    const char *info[3];
} nvmlGpmMetric_t;
typedef struct {
    unsigned int version, count;
    nvmlGpmSample_t first, second;
    nvmlGpmMetric_t metrics[]; /* as many as are asked for */
} nvmlGpmMetricsGet_t;

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };
enum { FIELD_TOTAL_ENERGY = 83, FIELD_POWER_AVERAGE = 185, SCOPE_GPU = 0, SCOPE_MODULE = 1 };
enum { GPM_SM_UTIL = 2 };
enum { TYPE_UNSIGNED_INT = 1, TYPE_UNSIGNED_LONG_LONG = 3 };
enum { MAX_GPUS = 16, MAX_SEGMENTS = 64, MAX_EVENTS = 16, REFRESH_MS = 100, POWER_MEAN_MS = 1000 };
enum { MAX_PROCESSES = 128, MIG_SLICES = 7, NO_INSTANCE = 0xffffffff };
enum { MAX_MW = 2000000 }; /* 2 kW since 1970 still fits the integral's 63 bits */
enum query { ENERGY, POWER, LIMIT, UTILIZATION, MEMORY, PROCESSES, QUERIES };

struct segment { int64_t length_ms, from_mw, to_mw; };
struct span { int64_t from_ms, to_ms, value; };
struct process { struct span busy; unsigned int pid, gpu_instance; }; /* busy.value: per cent of the multiprocessors */
struct gpu {
    char name[64], uuid[48];
    int64_t register_mj, phase_ms, limit_mw, memory_mib;
    struct segment curve[MAX_SEGMENTS];
    int segments;
    bool repeat, module_scope, gpm;
    int64_t resets_ms[MAX_EVENTS];
    struct span lost[MAX_EVENTS], latency[MAX_EVENTS];
    int resets, losses, latencies;
    nvmlReturn_t failure[QUERIES];
    int64_t duty_ms; /* of every refresh, how long the power sensor looks; 0: all the time */
    struct process processes[MAX_PROCESSES];
    int process_count;
    struct gpu *parent; /* of a MIG slice: the board; else NULL */
    int index, slice_count;
    unsigned int gpu_instance, slices; /* of a MIG slice */
};

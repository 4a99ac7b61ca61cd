"""What Prometheus reads from `/metrics`."""

from prometheus_client import Counter, Histogram

REQUESTS = Counter("fineasy_requests_total", "Requests answered", ["route", "method", "status"])
ERRORS = Counter("fineasy_errors_total", "Requests that failed on our side (5xx, or broken off)", ["route", "method"])
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
WHOLE = "Seconds from a request to the end of its answer"
LATENCY = Histogram("fineasy_request_seconds", WHOLE, ["route", "method"], buckets=SECONDS)
CACHE_HITS = Counter("fineasy_cache_hits_total", "Answers found in the cache", ["cache"])
CACHE_MISSES = Counter("fineasy_cache_misses_total", "Answers not found in the cache, or no cache to ask", ["cache"])

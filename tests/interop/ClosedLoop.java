import io.atomix.cluster.messaging.MessagingService;
import io.atomix.utils.net.Address;
import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;

/**
 * Callers of whom each calls again as soon as it is answered, until a time is over. The next call
 * leaves from the thread that brought the answer, which is the fastest way Zeebe's messaging has.
 */
final class ClosedLoop {
  private static final Duration PATIENCE = Duration.ofSeconds(10);
  private static final int CALLS_MAX = 1 << 23;

  private final MessagingService service;
  private final Address to;
  private final byte[] payload;
  private final boolean keepAlive;
  private final long[] latencies = new long[CALLS_MAX];
  private final AtomicInteger calls = new AtomicInteger();
  private long end;

  /** Without {@code keepAlive} every call has a connection of its own. */
  ClosedLoop(
      final MessagingService service,
      final Address to,
      final byte[] payload,
      final boolean keepAlive) {
    this.service = service;
    this.to = to;
    this.payload = payload;
    this.keepAlive = keepAlive;
  }

  /** Runs so many callers for so long; count, seconds and percentiles in µs as one JSON object. */
  String run(final int callers, final long millis) {
    final long begin = System.nanoTime();
    end = begin + Duration.ofMillis(millis).toNanos();
    CompletableFuture.allOf(
            Stream.generate(this::start).limit(callers).toArray(CompletableFuture[]::new))
        .join();
    final double seconds = (System.nanoTime() - begin) / 1e9;
    final int count = Math.min(calls.get(), CALLS_MAX);
    Arrays.sort(latencies, 0, count);
    return String.format(
        Locale.ROOT,
        "{\"count\": %d, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f}",
        calls.get(),
        seconds,
        latencies[count / 2] / 1e3,
        latencies[(int) (count * 99L / 100)] / 1e3);
  }

  private CompletableFuture<Void> start() {
    final CompletableFuture<Void> done = new CompletableFuture<>();
    call(done);
    return done;
  }

  private void call(final CompletableFuture<Void> done) {
    final long begin = System.nanoTime();
    if (begin >= end) {
      done.complete(null);
      return;
    }
    service
        .sendAndReceive(to, "direct", payload, keepAlive, PATIENCE)
        .whenComplete(
            (reply, error) -> {
              if (error != null) {
                done.completeExceptionally(error);
                return;
              }
              final int index = calls.getAndIncrement();
              if (index < CALLS_MAX) {
                latencies[index] = System.nanoTime() - begin;
              }
              call(done);
            });
  }
}

import io.atomix.cluster.messaging.MessagingConfig;
import io.atomix.cluster.messaging.MessagingConfig.CompressionAlgorithm;
import io.atomix.cluster.messaging.MessagingService;
import io.atomix.cluster.messaging.impl.NettyMessagingService;
import io.atomix.utils.net.Address;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.function.BiFunction;

/**
 * A node of the real Zeebe messaging, told what to do by lines on its input, one answer line each:
 * {@code ok ...} or {@code error Class message}. Arguments: cluster, compression, and for TLS a
 * chain and a key file.
 */
public final class ZeebePeer {
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final ExecutorService workers = Executors.newFixedThreadPool(4);
  private final LinkedBlockingQueue<String> consumed = new LinkedBlockingQueue<>();
  private final NettyMessagingService service;

  private ZeebePeer(final String[] arguments) throws Exception {
    final int port;
    try (ServerSocket probe = new ServerSocket(0)) {
      port = probe.getLocalPort();
    }
    final MessagingConfig config = new MessagingConfig();
    config.setPort(port).setInterfaces(List.of("127.0.0.1"));
    config.setShutdownQuietPeriod(Duration.ZERO);
    config.setCompressionAlgorithm(
        CompressionAlgorithm.valueOf(arguments[1].toUpperCase(Locale.ROOT)));
    if (arguments.length > 2) {
      config.setTlsEnabled(true);
      config.setCertificateChain(new File(arguments[2])).setPrivateKey(new File(arguments[3]));
    }
    service = new NettyMessagingService(arguments[0], Address.from("127.0.0.1", port), config);
    service.start().join();
    handle(service);
    System.out.println("ready 127.0.0.1:" + port);
  }

  private void handle(final MessagingService service) {
    answer("echo", (from, bytes) -> bytes);
    answer("from", (from, bytes) -> from.toString().getBytes(StandardCharsets.UTF_8));
    answer("null", (from, bytes) -> null);
    answer(
        "fail",
        (from, bytes) -> {
          throw new IllegalStateException("this handler fails");
        });
    answer(
        "large",
        (from, bytes) -> payload(Integer.parseInt(new String(bytes, StandardCharsets.UTF_8))));
    service.registerHandler("never", (from, bytes) -> new CompletableFuture<byte[]>());
    // Answered on the thread that reads, which is the fastest kind of handler Zeebe has.
    service.registerHandler("direct", (from, bytes) -> CompletableFuture.completedFuture(bytes));
    final BiConsumer<Address, byte[]> consumer =
        (from, bytes) -> consumed.add(new String(bytes, StandardCharsets.UTF_8));
    service.registerHandler("consume", consumer, Runnable::run);
  }

  private void answer(final String subject, final BiFunction<Address, byte[], byte[]> handler) {
    service.registerHandler(subject, handler, workers);
  }

  /** Bytes that do not compress well, the same for the same length. */
  private static byte[] payload(final int length) {
    final byte[] bytes = new byte[length];
    new Random(length).nextBytes(bytes);
    return bytes;
  }

  private String run(final String[] words) throws Exception {
    return switch (words[0]) {
      case "call" -> call(words[1], words[2], Integer.parseInt(words[3]), Integer.parseInt(words[4]));
      case "many" -> many(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
      case "send" -> send(words[1], words[2], Integer.parseInt(words[3]));
      case "consumed" -> consumed.take();
      case "measure" -> measure(words);
      default -> throw new IllegalArgumentException(words[0]);
    };
  }

  private String call(final String to, final String subject, final int length, final int millis) {
    final byte[] bytes = payload(length);
    final byte[] reply =
        service.sendAndReceive(Address.from(to), subject, bytes, true, Duration.ofMillis(millis)).join();
    return reply.length + (Arrays.equals(reply, bytes) ? " equal" : " different");
  }

  /** So many calls, each with a payload of its own, so many in flight; every reply is checked. */
  private String many(final String to, final int count, final int inFlight) throws Exception {
    final Semaphore room = new Semaphore(inFlight);
    final AtomicInteger right = new AtomicInteger();
    for (int index = 0; index < count; index++) {
      room.acquire();
      final byte[] bytes = ("message " + index).getBytes(StandardCharsets.UTF_8);
      service
          .sendAndReceive(Address.from(to), "echo", bytes, true, PATIENCE)
          .whenComplete(
              (reply, error) -> {
                if (reply != null && Arrays.equals(reply, bytes)) {
                  right.incrementAndGet();
                }
                room.release();
              });
    }
    room.acquire(inFlight);
    return right.get() + " right";
  }

  private String send(final String to, final String subject, final int count) {
    for (int index = 0; index < count; index++) {
      final byte[] bytes = Integer.toString(index).getBytes(StandardCharsets.UTF_8);
      service.sendAsync(Address.from(to), subject, bytes, true).join();
    }
    return count + " sent";
  }

  /** measure ADDRESS BYTES CALLERS MILLISECONDS pooled|fresh */
  private String measure(final String[] words) {
    final byte[] bytes = payload(Integer.parseInt(words[2]));
    final ClosedLoop loop =
        new ClosedLoop(service, Address.from(words[1]), bytes, words[5].equals("pooled"));
    return loop.run(Integer.parseInt(words[3]), Long.parseLong(words[4]));
  }

  private String answer(final String line) {
    try {
      return "ok " + run(line.split(" "));
    } catch (final Exception error) {
      final Throwable cause =
          error instanceof CompletionException && error.getCause() != null ? error.getCause() : error;
      return "error " + cause.getClass().getSimpleName() + " " + cause.getMessage();
    }
  }

  public static void main(final String[] arguments) throws Exception {
    final ZeebePeer peer = new ZeebePeer(arguments);
    final BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      System.out.println(peer.answer(line).replace('\n', ' '));
    }
    System.exit(0);
  }
}

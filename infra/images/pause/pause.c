/* Holds the namespaces of a pod, and is the first process of a node: it waits, and buries the dead. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int number) { (void)number; _exit(0); }

static void bury(int number) {
  (void)number;
  while (waitpid(-1, NULL, WNOHANG) > 0) continue;
}

int main(void) {
  const struct sigaction leaving = {.sa_handler = leave};
  const struct sigaction burying = {.sa_handler = bury, .sa_flags = SA_NOCLDSTOP};
  if (sigaction(SIGINT, &leaving, NULL) || sigaction(SIGTERM, &leaving, NULL) || sigaction(SIGCHLD, &burying, NULL))
    return EXIT_FAILURE;
  bury(SIGCHLD);
  for (;;) pause();
}

"""``python -m livehead.training.compact``, which ``torchrun -m livehead.training.compact`` starts in each process."""

from livehead.training.compact.trainer import main

if __name__ == "__main__":
    main()

"""``python -m livehead.training.foveal``, which ``torchrun -m livehead.training.foveal`` starts in each process."""

from livehead.training.foveal.trainer import main

if __name__ == "__main__":
    main()
